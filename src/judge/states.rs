//! Residual streams at the position of a judge's answer, stored beside its answers.
//!
//! For a pair asked in both orders, half the difference (h_ab − h_ba)/2 is kept: this removes everything that does not
//! change with the order, such as position bias, as in the debiased log-odds (ab − ba)/2.

use std::collections::BTreeSet;
use std::ops::Range;

use ndarray::ArrayD;

use crate::error::Result;
use crate::store::{Found, Shard, Store};
use crate::units::Layer;

/// Callback that receives the states of a range of units, by constitution.
pub type States<'a> = dyn FnMut(Range<usize>, &[ArrayD<f32>]) -> Result<()> + 'a;

/// The part that is odd under a swap of the order: half the difference of two, or the only one.
pub fn odd<'a>(mut orders: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let Some(first) = orders.next() else { return Vec::new() };
    match orders.next() {
        Some(second) => first.iter().zip(second).map(|(a, b)| (a - b) / 2.0).collect(),
        None => first.to_vec(),
    }
}

/// Name of a shard's file, and a description of its contents.
fn named(key: &str, layers: &[Layer]) -> (String, String) {
    let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
    (self::key(key), format!("states at answers, layers {}", layers.join(", ")))
}

/// Contents of a shard; empty if it is missing or damaged.
pub fn get(store: &Store, key: &str, layers: &[Layer]) -> Shard {
    let (key, work) = named(key, layers);
    store.get(&key, &work).unwrap_or_default()
}

/// What is there of a shard; nothing if no layers are kept.
pub fn find(store: &Store, key: &str, layers: &[Layer]) -> Found {
    if layers.is_empty() {
        return Found::Absent;
    }
    let (key, work) = named(key, layers);
    store.find(&key, &work)
}

/// Key of the file of states beside the cells of a key.
pub fn key(cells: &str) -> String {
    format!("{cells}-states")
}

/// Names of the cells of an intact shard.
pub fn kept(store: &Store, key: &str, layers: &[Layer]) -> BTreeSet<String> {
    if layers.is_empty() { BTreeSet::new() } else { get(store, key, layers).into_keys().collect() }
}

/// Adds cells to a shard.
///
/// # Errors
/// Errors of the file system.
pub fn put(store: &Store, key: &str, layers: &[Layer], cells: Shard) -> Result<()> {
    let mut shard = get(store, key, layers);
    shard.extend(cells);
    let (key, work) = named(key, layers);
    store.put(&key, &work, &shard)
}
