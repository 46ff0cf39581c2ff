//! `vstar capture` and `vstar judge`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::args::{CaptureArgs, JudgeArgs};
use super::terminal::bars::Bars;
use super::terminal::memory::mebibytes;
use super::terminal::out::result;
use crate::capture::Job;
use crate::error::{Diagnostic, Excerpt, Result};
use crate::model::weights::Count;
use crate::observations::OBSERVATIONS;
use crate::run::capture::{Prepared, capture_into};
use crate::run::joined;
use crate::run::judges::Judges;
use crate::store::Store;

/// Folder next to the observations that holds finished shards until the observations are written.
pub const SHARDS: &str = "shards";

/// Captures residual streams.
pub fn capture(args: &CaptureArgs) -> Result<()> {
    joined::not_a_run(&args.out)?;
    let prepared = Prepared::fetched(&args.options()?, &mut Bars::new())?;
    let store = Store::open(&args.out.join(SHARDS))?;
    let rows = capture_only(&prepared, &args.out, &store)?;
    result(|| json!({"rows": rows, "observations": args.out.join(OBSERVATIONS)}));
    store.remove()
}

fn capture_only(prepared: &Prepared, out: &Path, store: &Store) -> Result<usize> {
    let job = prepared.job()?;
    joined::replaces_nothing(prepared, &job, out)?;
    describe(prepared, &job);
    capture_into(prepared, &job, store, out, &mut Bars::new())?;
    println!("{} rows in {}", job.rows.len(), out.join(OBSERVATIONS).display());
    Ok(job.rows.len())
}

/// Runs the judge. If `out` holds no observations yet, the bare context is captured first.
pub fn judge(args: &JudgeArgs) -> Result<()> {
    let out = &args.capture.out;
    joined::not_a_run(out)?;
    let mut options = args.capture.options()?;
    let fresh = !out.join(OBSERVATIONS).is_file();
    if fresh {
        options.bare = true;
    }
    let prepared = Prepared::fetched(&options, &mut Bars::new())?;
    let judges = Judges::new(&args.settings(), &prepared)?;
    let store = Store::open(&out.join(SHARDS))?;
    if fresh {
        capture_only(&prepared, out, &store)?;
    }
    let mut results = Vec::new();
    for judged in judges.ask_into(&prepared, &store, out, &mut Bars::new())? {
        println!(
            "{} {} under each of {} constitutions, added to {}",
            judged.judged,
            judged.what(),
            prepared.judged().len(),
            out.join(OBSERVATIONS).display()
        );
        list_skipped(judged.what(), &judged.skipped);
        results
            .push(json!({"judged": judged.judged, "what": judged.what(), "left_out": judged.skipped.len()}));
    }
    let constitutions: Vec<&str> = prepared.judged().iter().map(|c| c.name.as_str()).collect();
    result(
        || json!({"judges": results, "constitutions": constitutions, "observations": out.join(OBSERVATIONS)}),
    );
    store.remove()
}

/// Prints what will be computed, and notices.
pub fn describe(prepared: &Prepared, job: &Job) {
    let plan = prepared.plan(&job.rows);
    println!(
        "{}: {} rows ({} items, {} constitutions), {} tokens, {} computed ({:.2} × less)",
        prepared.model.identity.name,
        job.rows.len(),
        prepared.items.items.len(),
        prepared.constitutions.len(),
        plan.naive_tokens,
        plan.packed_tokens,
        plan.naive_tokens as f64 / plan.packed_tokens.max(1) as f64,
    );
    if let Some(line) = rounded(&prepared.model.rounded, prepared.model.identity.bits_per_weight) {
        println!("{line}");
    }
    let memory = prepared.memory(&plan, job.rows.len());
    let waiting = if memory.waiting > 0 {
        format!(", {} for what waits while they are read", mebibytes(memory.waiting))
    } else {
        String::new()
    };
    println!(
        "memory: about {}: {} for the weights{}, {} for a chunk{waiting}",
        mebibytes(memory.total()),
        mebibytes(memory.weights),
        if prepared.model.decoder.streams() { " of a block" } else { "" },
        mebibytes(memory.chunk),
    );
    for note in &prepared.items.notes {
        println!("note: {note}");
    }
    if prepared.clusters.joined_groups > 0 {
        println!(
            "note: {} prompts are copies or near-copies of others and share their block",
            prepared.clusters.joined_groups
        );
    }
    if job.folded > 0 {
        println!(
            "note: the template takes no system message; the constitution heads the user's message ({} rows)",
            job.folded
        );
    }
    if let Some(own) = prepared.template.own_system().filter(|_| !prepared.judged().is_empty()) {
        println!(
            "note: where there is no system message the chat template writes its own, “{}”: the bare context has it, and \
             constitutions stand in its place; placebo constitutions tell the two apart",
            Excerpt(&own)
        );
    }
    if !prepared.model.unused.is_empty() {
        println!(
            "note: tensors of the checkpoint that the decoder does not use: {}",
            prepared.model.unused.join(", ")
        );
    }
    list_skipped("items", &prepared.items.skipped);
    list_skipped("rows", &job.skipped);
}

/// Effect of `--quantize` on the weights; `None` if they are unchanged.
pub fn rounded(counts: &BTreeMap<&'static str, Count>, bits_per_weight: Option<f64>) -> Option<String> {
    if counts.is_empty() {
        return None;
    }
    let list: Vec<String> = counts
        .iter()
        .map(|(name, c)| {
            format!("{name}: {} matrices ({:.2} M parameters)", c.matrices, c.parameters as f64 / 1e6)
        })
        .collect();
    let bits = bits_per_weight.map_or_else(String::new, |b| format!("; {b:.2} bits per weight in all"));
    Some(format!("weights rounded through {}{bits}", list.join(", ")))
}

/// Prints the number of skipped entries, with the first three reasons.
pub fn list_skipped(what: &str, skipped: &[Diagnostic]) {
    if skipped.is_empty() {
        return;
    }
    println!("left out: {} {what}", skipped.len());
    for diagnostic in skipped.iter().take(3) {
        println!("  {}: {}", diagnostic.place, diagnostic.what);
    }
}
