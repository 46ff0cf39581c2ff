//! `vstar k8s`: Indexed Jobs for a sweep.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::terminal::out::result;
use super::cost::Cost;
use super::names::{absolute, freeze, label};
use crate::artifact;
use crate::config::Sweep;
use crate::error::{Diagnostic, Kind, Place, Result};

#[derive(Debug, Args)]
pub struct K8sArgs {
    /// Sweep, or an experiment of one cell
    #[arg(value_name = "SWEEP.toml")]
    pub sweep: PathBuf,
    /// Container image with `vstar` on its PATH
    #[arg(long)]
    pub image: String,
    /// Persistent volume claim (ReadWriteMany) that holds experiments, models, data and results
    #[arg(long, value_name = "NAME")]
    pub claim: String,
    /// Where the claim is mounted, here and in the pods: all paths of the experiments are under it [default: this folder]
    #[arg(long, value_name = "DIR")]
    pub mount: Option<PathBuf>,
    /// Number of parts of each cell [default: parts of about half an hour, by the estimate on this machine]
    #[arg(long)]
    pub shards: Option<usize>,
    /// Maximum number of pods at once [default: the number of parts]
    #[arg(long)]
    pub parallelism: Option<usize>,
    /// Memory of each pod, such as 16Gi [default: twice what is estimated, and 1 GiB]
    #[arg(long)]
    pub mem: Option<String>,
    /// Cores of each pod
    #[arg(long, default_value_t = 4)]
    pub cpus: usize,
    /// GPUs of each pod
    #[arg(long, default_value_t = 0)]
    pub gpus: usize,
}

/// Text in double quotes, as YAML and JSON take it.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

/// A Job of Kubernetes.
struct Job<'a> {
    name: String,
    /// Number of parts of an Indexed Job.
    parts: Option<usize>,
    command: Vec<String>,
    memory: String,
    gpus: usize,
    mount: &'a Path,
    args: &'a K8sArgs,
}

impl Job<'_> {
    fn manifest(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {}\n  labels: {{app: vstar}}\nspec:\n",
            self.name
        );
        match self.parts {
            Some(parts) => {
                let most = self.args.parallelism.unwrap_or(parts).clamp(1, parts);
                let _ = write!(
                    out,
                    "  completionMode: Indexed\n  completions: {parts}\n  parallelism: {most}\n  \
                     # A part that fails is tried again, and hinders no other.\n  backoffLimitPerIndex: 2\n  \
                     maxFailedIndexes: {parts}\n"
                );
            }
            None => out.push_str("  backoffLimit: 0\n"),
        }
        let threads = quoted(&self.args.cpus.to_string());
        let command: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let gpus = match self.gpus {
            0 => String::new(),
            n => format!(", nvidia.com/gpu: {n}"),
        };
        let _ = write!(
            out,
            "  template:\n    metadata:\n      labels: {{app: vstar}}\n    spec:\n      restartPolicy: Never\n      \
             # Time for a part to end at SIGTERM; what is finished then is kept.\n      \
             terminationGracePeriodSeconds: 60\n      containers:\n        - name: vstar\n          image: {}\n          \
             command: [{}]\n          workingDir: {}\n          env:\n            - {{name: RAYON_NUM_THREADS, value: {threads}}}\n          \
             resources:\n            requests: {{cpu: {}, memory: {}}}\n            limits: {{memory: {}{gpus}}}\n          \
             volumeMounts:\n            - {{name: data, mountPath: {}}}\n      volumes:\n        - name: data\n          \
             persistentVolumeClaim: {{claimName: {}}}\n",
            quoted(&self.args.image),
            command.join(", "),
            quoted(&self.mount.to_string_lossy()),
            self.args.cpus,
            quoted(&self.memory),
            quoted(&self.memory),
            quoted(&self.mount.to_string_lossy()),
            quoted(&self.args.claim),
        );
        out
    }
}

/// Writes the manifests of a sweep.
pub fn k8s(args: &K8sArgs) -> Result<()> {
    let sweep = Sweep::read(&args.sweep)?;
    let mount = absolute(args.mount.as_deref().unwrap_or(Path::new(".")))?;
    let out = absolute(&sweep.out)?;
    if !out.starts_with(&mount) {
        return Err(Diagnostic::new(Kind::Invalid, "the sweep's folder is not under the mounted one")
            .at(Place::file(&args.sweep))
            .expected(format!("`out` under {}", mount.display()))
            .found(out.display().to_string())
            .remedy("give --mount, the folder that the claim has here and in the pods")
            .into());
    }
    let estimated = args.mem.is_none() || args.shards.is_none();
    let costs = sweep.cells.iter().map(|cell| estimated.then(|| Cost::of(cell)).transpose());
    let costs: Vec<Option<Cost>> = costs.collect::<Result<_>>()?;
    let (folder, tasks) = freeze(&sweep)?;
    let mut steps = Vec::new();
    let mut all = Vec::new();
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
    for (task, cost) in tasks.iter().zip(&costs) {
        let of = args.shards.or(cost.as_ref().map(Cost::parts)).unwrap_or(1).max(1);
        let memory = |mib: fn(&Cost) -> u64| {
            let mib = cost.as_ref().map(|c| format!("{}Mi", mib(c)));
            args.mem.clone().or(mib).unwrap_or_else(|| "8Gi".into())
        };
        // A pod's name has the Job's, an index and five letters: 63 in all.
        let name = format!("vstar-{}", label(&task.name, 36));
        let (experiment, run) = (path(&task.experiment), path(&task.out));
        let parts = Job {
            name: format!("{name}-parts"),
            parts: Some(of),
            command: words(&["vstar", "run", &experiment, "--out", &run, "--shards", &of.to_string()]),
            memory: memory(Cost::part_mib),
            gpus: args.gpus,
            mount: &mount,
            args,
        };
        let merge = Job {
            name: format!("{name}-merge"),
            parts: None,
            command: words(&["vstar", "merge", &run]),
            memory: memory(Cost::merge_mib),
            ..parts_like(&parts)
        };
        for job in [&parts, &merge] {
            let file = folder.join(format!("{}.yaml", job.name));
            artifact::write_bytes(&file, job.manifest().as_bytes())?;
            steps.push(format!("kubectl apply -f {}", super::names::word(&file)));
            steps.push(format!("kubectl wait --for=condition=complete --timeout=-1s job/{}", job.name));
        }
        all.push(json!({"cell": task.name, "folder": task.out, "shards": of, "estimate": cost}));
        println!("cell {}: {of} parts, {} of memory each", task.name, parts.memory);
    }
    println!("manifests in {}", folder.display());
    println!("apply them one after the other:");
    steps.iter().for_each(|step| println!("  {step}"));
    if tasks.len() > 1 {
        let folders: Vec<String> = tasks.iter().map(|t| super::names::word(&t.out)).collect();
        println!("  vstar compare {} --out {}", folders.join(" "), super::names::word(&out));
    }
    result(|| json!({"folder": folder, "cells": all, "steps": steps}));
    Ok(())
}

/// A Job with the same resources.
fn parts_like<'a>(job: &Job<'a>) -> Job<'a> {
    Job {
        name: job.name.clone(),
        parts: job.parts,
        command: job.command.clone(),
        memory: job.memory.clone(),
        gpus: job.gpus,
        mount: job.mount,
        args: job.args,
    }
}
