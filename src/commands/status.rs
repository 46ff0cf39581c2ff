//! `vstar status`: what is done of a run in parts.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::terminal::numbers::{about, compact, duration};
use super::terminal::out::{is_json, result};
use crate::error::Result;
use crate::run::parts::{PartState, PartStatus, Status, array_expression, status as read};

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folder of a run in parts
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print only the numbers of the parts to submit again, as `sbatch --array` takes them: 3,7-9; nothing if there are
    /// none
    #[arg(long)]
    pub missing: bool,
}

/// A name of states, and which they are.
type Group = (&'static str, fn(&PartState) -> bool);

/// Maximum number of parts shown one by one in a state.
const SHOWN: usize = 12;

/// Prints what is done of a run.
pub fn status(args: &StatusArgs) -> Result<()> {
    let status = read(&args.run)?;
    let open = array_expression(&status.open());
    if args.missing {
        if !open.is_empty() && !is_json() {
            println!("{open}");
        }
        result(|| json!(open));
        return Ok(());
    }
    result(|| {
        let mut all = json!(status);
        all["missing"] = json!(open);
        all["folder"] = json!(args.run);
        all
    });
    for line in lines(&status, &args.run) {
        println!("{line}");
    }
    Ok(())
}

fn lines(status: &Status, run: &Path) -> Vec<String> {
    let mut out = vec![format!("{}: {} parts", run.display(), status.of)];
    let states: [Group; 6] = [
        ("finished", |s| *s == PartState::Finished),
        ("running", |s| *s == PartState::Running),
        ("interrupted", |s| *s == PartState::Interrupted),
        ("lost", |s| matches!(s, PartState::Lost { .. })),
        ("failed", |s| matches!(s, PartState::Failed { .. } | PartState::Withdrawn { .. })),
        ("missing", |s| *s == PartState::Missing),
    ];
    for (name, of) in states {
        let own: Vec<&PartStatus> = status.parts.iter().filter(|p| of(&p.state)).collect();
        if own.is_empty() {
            continue;
        }
        let numbers: Vec<usize> = own.iter().map(|p| p.part).collect();
        out.push(format!("  {name:<12}{:>6}  {}", own.len(), array_expression(&numbers)));
        let details: Vec<String> = own.iter().filter_map(|p| detail(p)).collect();
        out.extend(details.iter().take(SHOWN).cloned());
        if let Some(more) = details.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            out.push(format!("    and {more} more (--json lists all)"));
        }
    }
    if let Some(seconds) = status.seconds_running {
        out.push(format!("the running parts: {} left, at the rate of each so far", about(seconds)));
    }
    let open = status.open();
    let finished = status.parts.iter().all(|p| p.state == PartState::Finished);
    if let Some(seconds) = status.seconds_left.filter(|_| !finished) {
        let hands = match status.count(|s| *s == PartState::Running) {
            0 => "one process".to_owned(),
            1 => "the one that runs".to_owned(),
            n => format!("the {n} that run"),
        };
        out.push(format!("everything: {} left with {hands}, from rates measured so far", about(seconds)));
    }
    if !open.is_empty() {
        out.push(format!("submit again: --array={}", array_expression(&open)));
    } else if finished {
        out.push(if status.reported {
            format!("all parts are done; a report is there: {}", run.join("report.html").display())
        } else {
            format!("all parts are done: vstar merge {}", run.display())
        });
    }
    out
}

/// What there is to say of a part, if anything.
fn detail(part: &PartStatus) -> Option<String> {
    let text = match (&part.state, &part.record) {
        (PartState::Running, Some(r)) => {
            let done = r.tokens.done.saturating_sub(r.tokens.there) as f64;
            let share = 100.0 * r.tokens.done as f64 / (r.tokens.total as f64).max(1.0);
            let rate = if r.seconds > 0.0 && done > 0.0 {
                let rate = done / r.seconds;
                let left = (r.tokens.total - r.tokens.done.min(r.tokens.total)) as f64 / rate;
                format!(", {} tokens/s, {} left", compact(rate), duration(left))
            } else {
                String::new()
            };
            match r.tokens.total {
                0 => format!("{}, process {}", r.step, r.pid),
                _ => format!("{}, {share:.0} %{rate}, process {}", r.step, r.pid),
            }
        }
        (PartState::Lost { silent }, Some(r)) => {
            format!("no sign of process {} for {}", r.pid, duration(*silent as f64))
        }
        (PartState::Failed { reason } | PartState::Withdrawn { reason }, _) => {
            reason.replace('\n', "\n      ")
        }
        _ => return None,
    };
    Some(format!("    part {}: {text}", part.part))
}
