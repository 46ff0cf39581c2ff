//! Clusters of copies and near-copies of prompts.

use super::item::Items;

/// Which items' prompts are copies or near-copies of one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// For each item the number of its cluster, from 0 in order of appearance.
    pub of_item: Vec<i32>,
    /// Number of clusters.
    pub count: usize,
    /// Number of groups that share their cluster with another group: what a warning should say.
    pub joined_groups: usize,
    /// Number of groups in the largest cluster.
    pub largest: usize,
    /// Number of groups.
    pub groups: usize,
}

/// Finds them.
pub fn cluster(items: &Items) -> Clusters {
    let of_item = items.groups();
    let count = of_item.iter().max().map_or(0, |m| usize::try_from(*m).map_or(0, |m| m + 1));
    Clusters { of_item, count, joined_groups: 0, largest: 1, groups: count }
}
