//! Groups sequences into chunks of bounded size that keep shared prefixes together.

use super::trie::common_prefix;

/// A job cut into chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Sequence numbers of each chunk.
    pub chunks: Vec<Vec<usize>>,
    /// Number of tokens if every sequence were computed alone.
    pub naive_tokens: usize,
    /// Number of tokens actually computed.
    pub packed_tokens: usize,
}

/// Cuts a job into chunks of at most `budget` packed tokens (a longer sequence gets a chunk of its own). Sequences with
/// different values of `regime` never share a prefix, even if their tokens are equal.
pub fn plan<S: AsRef<[u32]>>(sequences: &[S], budget: usize, regime: impl Fn(usize) -> usize) -> Plan {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    let key = |i: usize| (regime(sequences[i].as_ref().len()), sequences[i].as_ref());
    order.sort_by(|&a, &b| key(a).cmp(&key(b)));
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let (mut packed_tokens, mut in_chunk) = (0, 0);
    let mut previous: Option<usize> = None;
    for &i in &order {
        let (this_regime, tokens) = key(i);
        let shared = match previous.map(key) {
            Some((r, before)) if r == this_regime => Some(common_prefix(before, tokens)),
            _ => None,
        };
        // In sorted order a sequence shares most with its predecessor.
        match (shared, chunks.last_mut()) {
            (Some(shared), Some(chunk)) if in_chunk + tokens.len() - shared <= budget => {
                chunk.push(i);
                in_chunk += tokens.len() - shared;
                packed_tokens += tokens.len() - shared;
            }
            _ => {
                chunks.push(vec![i]);
                in_chunk = tokens.len();
                packed_tokens += tokens.len();
            }
        }
        previous = Some(i);
    }
    let naive_tokens = sequences.iter().map(|s| s.as_ref().len()).sum();
    Plan { chunks, naive_tokens, packed_tokens }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forest::trie::Forest;

    proptest! {
        #[test]
        fn a_plan_counts_what_the_forests_hold(
            sequences in prop::collection::vec(prop::collection::vec(0u32..3, 1..12), 1..30),
            budget in 1usize..60,
        ) {
            let plan = plan(&sequences, budget, |len| usize::from(len > 8));
            let mut seen: Vec<_> = plan.chunks.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..sequences.len()).collect::<Vec<_>>());
            let mut packed = 0;
            for chunk in &plan.chunks {
                let members: Vec<_> = chunk.iter().map(|&i| &sequences[i]).collect();
                let size = Forest::build(&members).expect("a forest").packing().len();
                prop_assert!(size <= budget || chunk.len() == 1);
                let regimes: Vec<_> = members.iter().map(|s| s.len() > 8).collect();
                prop_assert!(regimes.windows(2).all(|w| w[0] == w[1]));
                packed += size;
            }
            prop_assert_eq!(packed, plan.packed_tokens);
        }
    }
}
