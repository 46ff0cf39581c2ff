//! Does one part of capture and judging.

use crate::config::Experiment;
use crate::error::Result;
use crate::model::hub::Downloads;
use crate::run::capture::fill;
use crate::run::loaded::Loaded;
use crate::run::parts::beat::Beat;
use crate::run::parts::inventory::Inventory;
use crate::run::parts::record::{Done, digest};
use crate::run::progress::Progress;
use crate::store::Store;
use crate::units::Part;

/// A finished part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Number of its shards.
    pub shards: usize,
    /// Number of all shards of the run.
    pub of: usize,
    /// Its tokens.
    pub tokens: u64,
    /// Tokens that had been computed before.
    pub there: u64,
}

/// Loads an experiment and does one part of its capture and judging, into the run's folder; other processes may do the
/// same or other parts at the same time. `loaded` receives the experiment once it is loaded. The part's record says
/// what became of it, also where loading fails.
///
/// # Errors
/// Errors of loading, of the forward pass, of `progress` and of the file system; every finished shard is kept.
pub fn attempt(
    experiment: Experiment,
    part: Part,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
    loaded: &mut dyn FnMut(&Loaded),
) -> Result<Finished> {
    let out = experiment.out.clone();
    let beat = Beat::begin(&out, part)?;
    let outcome = Loaded::of(experiment, downloads).and_then(|run| {
        loaded(&run);
        work(&run, part, &beat, progress)
    });
    let noted = beat.end(&outcome);
    let finished = outcome?;
    noted?;
    Ok(finished)
}

fn work(run: &Loaded, part: Part, beat: &Beat, progress: &mut dyn Progress) -> Result<Finished> {
    let store = Store::share(&run.shards())?;
    let manifest = run.manifest();
    run.claim(&manifest)?;
    let inventory = Inventory::of(run)?;
    let (shards, tokens) = inventory.size(part);
    beat.expect(shards, tokens);
    let mut watched = beat.watch(progress);
    // A signal during loading.
    watched.advance(0)?;
    let prepared = &run.prepared;
    fill(prepared, &run.job, &store, &|i| part.holds(i), &mut watched)?;
    for (first, asked) in inventory.judges() {
        let cells = asked.cells(run.judges.layers());
        let mine = |i: usize| part.holds(first + i);
        let own: Vec<_> = cells.ranges().enumerate().filter(|(i, _)| mine(*i)).map(|(_, r)| r).collect();
        let requests = |range: &std::ops::Range<usize>| {
            let all: Vec<_> = cells.of(range).iter().collect();
            crate::forest::plan_requests(&prepared.model.decoder, &all, prepared.settings.chunk_tokens)
                .packed_tokens
        };
        watched.begin("judge", own.iter().map(requests).sum());
        let place = |i: usize| prepared.items.items[asked.item(i)].place.clone();
        let mut advance = |tokens| watched.advance(tokens);
        cells.fill(&prepared.model.decoder, &prepared.settings, &store, &place, &mine, &mut advance)?;
        watched.end();
    }
    Done::new(part, digest(&manifest), inventory.files(part)).write(&run.experiment.out, part)?;
    Ok(Finished { shards, of: inventory.len(), tokens: tokens.total, there: tokens.there })
}
