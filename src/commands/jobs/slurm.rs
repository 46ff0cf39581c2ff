//! `vstar slurm`: sbatch scripts for a sweep.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::json;

use super::super::terminal::out::result;
use super::cost::Cost;
use super::names::{Task, absolute, freeze, label, program, word};
use crate::artifact;
use crate::config::Sweep;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::run::parts::{array_expression, status};

#[derive(Debug, Args)]
pub struct SlurmArgs {
    /// Sweep, or an experiment of one cell
    #[arg(value_name = "SWEEP.toml")]
    pub sweep: PathBuf,
    /// Slurm partition [default: the cluster's]
    #[arg(long)]
    pub partition: Option<String>,
    /// Time limit of each part, as sbatch takes it [default: twice what is estimated on this machine]
    #[arg(long)]
    pub time: Option<String>,
    /// Memory of each part, as sbatch takes it, such as 16G [default: twice what is estimated, and 1 GiB]
    #[arg(long)]
    pub mem: Option<String>,
    /// GPUs of each part
    #[arg(long, default_value_t = 0)]
    pub gpus: usize,
    /// Cores of each part
    #[arg(long, default_value_t = 4)]
    pub cpus: usize,
    /// Number of parts of each cell [default: parts of about half an hour, by the estimate]
    #[arg(long)]
    pub shards: Option<usize>,
    /// Further options of every sbatch script, such as --sbatch=--account=lab
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
    /// Program that the jobs run [default: this one]
    #[arg(long, value_name = "PATH")]
    pub vstar: Option<PathBuf>,
    /// Submit the scripts; without it they are written and what would be submitted is printed
    #[arg(long)]
    pub submit: bool,
}

/// One job of a script.
struct Job<'a> {
    name: String,
    /// `--array` of a job in parts.
    array: Option<String>,
    time: Option<String>,
    mem: Option<String>,
    gpus: usize,
    /// Whether the job can stop at a signal and go on later.
    resumes: bool,
    args: &'a SlurmArgs,
}

impl Job<'_> {
    /// The script: its options, and `command` in place of the shell, so that the scheduler's signals reach the program.
    fn script(&self, folder: &Path, logs: &Path, command: &str) -> String {
        let mut out = String::from("#!/bin/bash\n");
        let mut option = |text: String| {
            let _ = writeln!(out, "#SBATCH {text}");
        };
        option(format!("--job-name={}", self.name));
        if let Some(array) = &self.array {
            option(format!("--array={array}"));
        }
        if let Some(partition) = &self.args.partition {
            option(format!("--partition={partition}"));
        }
        if let Some(time) = &self.time {
            option(format!("--time={time}"));
        }
        if let Some(mem) = &self.mem {
            option(format!("--mem={mem}"));
        }
        option("--nodes=1".into());
        option("--ntasks=1".into());
        option(format!("--cpus-per-task={}", self.args.cpus));
        if self.gpus > 0 {
            option(format!("--gpus={}", self.gpus));
        }
        if self.resumes {
            option("--signal=B:TERM@60".into());
            option("--requeue".into());
            option("--open-mode=append".into());
        }
        let log = if self.array.is_some() { "%x-%A_%a.log" } else { "%x-%j.log" };
        option(format!("--output=\"{}\"", logs.join(log).display()));
        self.args.sbatch.iter().for_each(|more| option(more.clone()));
        let _ = write!(
            out,
            "set -euo pipefail\ncd {}\nexport RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-{}}}\"\n\
             # In place of the shell, so that TERM before the time limit reaches it; what is finished then is kept.\n\
             exec {command}\n",
            word(folder),
            self.args.cpus
        );
        out
    }
}

/// Writes the scripts of a sweep, and submits them if told to.
pub fn slurm(args: &SlurmArgs) -> Result<()> {
    let sweep = Sweep::read(&args.sweep)?;
    let here = absolute(Path::new("."))?;
    let vstar = word(&program(args.vstar.as_ref())?);
    let estimated = args.time.is_none() || args.mem.is_none() || args.shards.is_none();
    let costs = sweep.cells.iter().map(|cell| estimated.then(|| Cost::of(cell)).transpose());
    let costs: Vec<Option<Cost>> = costs.collect::<Result<_>>()?;
    let (folder, tasks) = freeze(&sweep)?;
    let logs = folder.join("logs");
    artifact::create_folder(&logs)?;
    let mut submit = String::from("#!/bin/bash\nset -euo pipefail\n");
    let mut merges = Vec::new();
    let mut all = Vec::new();
    for (number, (task, cost)) in tasks.iter().zip(&costs).enumerate() {
        let of = args.shards.or(cost.as_ref().map(Cost::parts)).unwrap_or(1).max(1);
        let (array, minutes, mib) = parts_of(task, of, cost.as_ref());
        let time = args.time.clone().or(minutes.map(clock));
        let mem = args.mem.clone().or(mib.map(|m| format!("{m}M")));
        let name = format!("vstar-{}", label(&task.name, 40));
        let merge_time = args.time.clone().filter(|_| cost.is_none());
        let merge_time = merge_time.or(cost.as_ref().map(|c| clock(c.merge_minutes())));
        let merge_mem = args.mem.clone().filter(|_| cost.is_none());
        let merge_mem = merge_mem.or(cost.as_ref().map(|c| format!("{}M", c.merge_mib())));
        println!(
            "cell {}: {of} parts{}{}{}",
            task.name,
            time.as_ref().map_or_else(String::new, |t| format!(", {t} each")),
            mem.as_ref().map_or_else(String::new, |m| format!(", {m} of memory")),
            match array.as_deref() {
                None => "; all of them are done".to_owned(),
                Some(array) if array == format!("1-{of}") => String::new(),
                Some(array) => format!("; of them {array} are to be done"),
            }
        );
        all.push(
            json!({"cell": task.name, "folder": task.out, "shards": of, "array": array, "estimate": cost}),
        );
        let mut after = String::new();
        if let Some(array) = array {
            let job = Job {
                name: name.clone(),
                array: Some(array),
                time,
                mem,
                gpus: args.gpus,
                resumes: true,
                args,
            };
            let command =
                format!("{vstar} run {} --out {} --shards {of}", word(&task.experiment), word(&task.out));
            let path = folder.join(format!("{}.parts.sbatch", task.name));
            artifact::write_bytes(&path, job.script(&here, &logs, &command).as_bytes())?;
            let _ = writeln!(submit, "parts{number}=$(sbatch --parsable {})", word(&path));
            // Whatever became of the parts: the merge names what is missing.
            after = format!("--dependency=afterany:\"${{parts{number}%%;*}}\" ");
        }
        // A GPU's numbers differ in the last bits from a CPU's: the responses that the report shows token by token are
        // read on the same device as the parts.
        let job = Job {
            name: format!("{name}-merge"),
            array: None,
            time: merge_time,
            mem: merge_mem,
            gpus: args.gpus,
            resumes: false,
            args,
        };
        let path = folder.join(format!("{}.merge.sbatch", task.name));
        let command = format!("{vstar} merge {}", word(&task.out));
        artifact::write_bytes(&path, job.script(&here, &logs, &command).as_bytes())?;
        let _ = writeln!(submit, "merge{number}=$(sbatch --parsable {after}{})", word(&path));
        merges.push(format!("\"${{merge{number}%%;*}}\""));
    }
    if tasks.len() > 1 {
        let folders: Vec<String> = tasks.iter().map(|t| word(&t.out)).collect();
        let command = format!("{vstar} compare {} --out {}", folders.join(" "), word(&absolute(&sweep.out)?));
        let job = Job {
            name: format!("vstar-{}-compare", label(&sweep.out.to_string_lossy(), 40)),
            array: None,
            time: args.time.clone().or(Some("01:00:00".into())),
            mem: args.mem.clone().or(Some("8192M".into())),
            gpus: 0,
            resumes: false,
            args,
        };
        let path = folder.join("compare.sbatch");
        artifact::write_bytes(&path, job.script(&here, &logs, &command).as_bytes())?;
        let after = merges.join(":");
        let _ = writeln!(
            submit,
            "sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:{after} {} > /dev/null",
            word(&path)
        );
    }
    let _ = writeln!(submit, "echo \"submitted; squeue --me lists the jobs, vstar status RUN what is done\"");
    let script = folder.join("submit.sh");
    artifact::write_bytes(&script, submit.as_bytes())?;
    println!("scripts in {}", folder.display());
    if args.submit {
        run_script(&script)?;
        println!("submitted");
    } else {
        println!("would submit, with --submit or `bash {}`:", word(&script));
        submit.lines().skip(2).for_each(|line| println!("  {line}"));
    }
    result(|| json!({"folder": folder, "submit": script, "submitted": args.submit, "cells": all}));
    Ok(())
}

/// The array of the parts that are not done (`None`: all are), and the minutes and MiB that one needs.
fn parts_of(task: &Task, of: usize, cost: Option<&Cost>) -> (Option<String>, Option<u64>, Option<u64>) {
    let open = match status(&task.out) {
        Ok(status) if status.of == of => array_expression(&status.open()),
        _ => format!("1-{of}"),
    };
    let array = (!open.is_empty()).then_some(open);
    (array, cost.map(|c| c.part_minutes(of)), cost.map(Cost::part_mib))
}

/// Minutes as sbatch takes them.
fn clock(minutes: u64) -> String {
    format!("{:02}:{:02}:00", minutes / 60, minutes % 60)
}

fn run_script(script: &Path) -> Result<()> {
    let output = Command::new("bash").arg(script).output().map_err(|e| Error::io("run", script, e))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Invalid, "the jobs could not be submitted")
        .at(Place::file(script))
        .found(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        .remedy("what was submitted before is listed by `squeue --me`; mend the option and submit again")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_written_as_hours_and_minutes() {
        assert_eq!(
            (clock(7), clock(67), clock(6000)),
            ("00:07:00".into(), "01:07:00".into(), "100:00:00".into())
        );
    }
}
