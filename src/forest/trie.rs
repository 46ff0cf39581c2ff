//! Builds a forest from sequences: finds shared prefixes, cuts segments and packs them.

use crate::error::Result;
use crate::model::packing::{Packing, Segment};

/// A packed forest, with the location of each sequence.
#[derive(Debug, Clone)]
pub struct Forest {
    packing: Packing,
    /// Segments of each sequence, from the root down.
    chains: Vec<Vec<usize>>,
}

/// A group of sequences that agree up to `depth`, waiting for its next segment.
struct Branch {
    /// Range in the sorted order.
    from: usize,
    to: usize,
    depth: usize,
    parent: Option<usize>,
}

impl Forest {
    /// Builds the forest of the sequences; equal prefixes are stored once. The forest depends on the set of sequences,
    /// not on their order.
    ///
    /// # Errors
    /// Never for non-empty sequences; an empty one gets an empty chain.
    pub fn build<S: AsRef<[u32]>>(sequences: &[S]) -> Result<Self> {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by(|&a, &b| sequences[a].as_ref().cmp(sequences[b].as_ref()));
        let at = |i: usize| sequences[order[i]].as_ref();
        let mut tokens = Vec::new();
        let mut segments: Vec<Segment> = Vec::new();
        let mut ends = vec![None; sequences.len()];
        let mut stack = vec![Branch { from: 0, to: order.len(), depth: 0, parent: None }];
        while let Some(Branch { mut from, to, depth, parent }) = stack.pop() {
            // Sequences that end at this depth sort first.
            while from < to && at(from).len() == depth {
                ends[order[from]] = parent;
                from += 1;
            }
            if from == to {
                continue;
            }
            // Children are pushed last to first, so that they are packed in sorted order.
            let mut groups = Vec::new();
            let mut start = from;
            for i in from + 1..=to {
                if i == to || at(i)[depth] != at(start)[depth] {
                    groups.push((start, i));
                    start = i;
                }
            }
            if let [(start, end)] = groups[..] {
                let shared = common_prefix(at(start), at(end - 1));
                let segment = segments.len();
                segments.push(Segment { start: tokens.len(), len: shared - depth, parent });
                tokens.extend_from_slice(&at(start)[depth..shared]);
                stack.push(Branch { from: start, to: end, depth: shared, parent: Some(segment) });
            } else {
                // Each group creates its own segment when it is popped.
                stack.extend(groups.into_iter().rev().map(|(from, to)| Branch { from, to, depth, parent }));
            }
        }
        let chains = ends
            .into_iter()
            .map(|end| {
                let mut chain: Vec<usize> =
                    std::iter::successors(end, |&s: &usize| segments[s].parent).collect();
                chain.reverse();
                chain
            })
            .collect();
        Ok(Self { packing: Packing::new(tokens, segments)?, chains })
    }

    /// The packed segments.
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// The segment that holds a sequence's last token; `None` for an empty sequence.
    pub fn last_segment(&self, sequence: usize) -> Option<usize> {
        self.chains[sequence].last().copied()
    }

    /// Packed indices of a sequence's tokens `[from, to)`, in order.
    pub fn indices(&self, sequence: usize, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        self.chains[sequence].iter().flat_map(move |&s| {
            let segment = self.packing.segments()[s];
            let offset = self.packing.offset(s);
            let clip = |t: usize| t.clamp(offset, offset + segment.len) - offset + segment.start;
            clip(from)..clip(to)
        })
    }
}

/// Length of the longest common prefix.
pub fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shared_prefixes_are_stored_once() {
        let sequences = [vec![1, 2, 3, 4], vec![1, 2, 3, 5, 6], vec![1, 2], vec![7], vec![1, 2, 3, 4]];
        let forest = Forest::build(&sequences).expect("a forest");
        // 1 2 | 3 | 4 | 5 6 | 7
        assert_eq!(forest.packing().len(), 7);
        assert_eq!(forest.packing().segments().len(), 5);
    }

    proptest! {
        #[test]
        fn every_sequence_reads_back(sequences in prop::collection::vec(prop::collection::vec(0u32..3, 1..12), 1..20)) {
            let forest = Forest::build(&sequences).expect("a forest");
            let packing = forest.packing();
            for (i, sequence) in sequences.iter().enumerate() {
                let indices: Vec<_> = forest.indices(i, 0, sequence.len()).collect();
                let tokens: Vec<_> = indices.iter().map(|&t| packing.tokens()[t]).collect();
                prop_assert_eq!(&tokens, sequence);
                let positions: Vec<_> = indices.iter().map(|&t| packing.positions()[t] as usize).collect();
                prop_assert_eq!(positions, (0..sequence.len()).collect::<Vec<_>>());
                let middle = sequence.len() / 2;
                prop_assert_eq!(forest.indices(i, middle, sequence.len()).collect::<Vec<_>>(), &indices[middle..]);
            }
            // As many tokens as distinct prefixes: nothing is computed twice.
            let mut prefixes: Vec<&[u32]> = sequences.iter().flat_map(|s| (1..=s.len()).map(|n| &s[..n])).collect();
            prefixes.sort();
            prefixes.dedup();
            prop_assert_eq!(packing.len(), prefixes.len());
        }
    }
}
