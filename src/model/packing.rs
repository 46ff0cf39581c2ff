//! Token segments packed into one matrix, with their positions and attention structure.

use crate::error::{Diagnostic, Kind, Result};

/// A run of tokens whose prefix consists of its parent, the parent's parent, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Index of the segment's first token in the packed matrix.
    pub start: usize,
    /// Number of tokens, at least 1.
    pub len: usize,
    /// The segment whose last token precedes this segment's first; `None` at the start of a text.
    pub parent: Option<usize>,
}

/// A forest of segments, packed without padding: T tokens in one matrix, parents before children.
///
/// A token attends to itself, to the tokens before it in its own segment and to all tokens of its
/// ancestors (or to those of them inside the window). Positions count from the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    segments: Vec<Segment>,
    /// Position of each segment's first token, which is the total length of its ancestors.
    offsets: Vec<usize>,
}

impl Packing {
    /// Checks that segments tile the tokens in order and that parents come first.
    ///
    /// # Errors
    /// `Invalid` otherwise: the caller passed segments that do not form a forest.
    pub fn new(tokens: Vec<u32>, segments: Vec<Segment>) -> Result<Self> {
        let invalid = |i: usize, found: String| {
            Diagnostic::new(Kind::Invalid, format!("segment {i} does not belong in a packed forest"))
                .expected("segments that tile the tokens in order, each after its parent")
                .found(found)
        };
        let mut next = 0;
        let mut offsets: Vec<usize> = Vec::with_capacity(segments.len());
        let mut positions = Vec::with_capacity(tokens.len());
        for (i, segment) in segments.iter().enumerate() {
            if segment.start != next || segment.len == 0 || segment.parent.is_some_and(|p| p >= i) {
                return Err(invalid(i, format!("{segment:?} where token {next} comes next")).into());
            }
            let offset = segment.parent.map_or(0, |p| offsets[p] + segments[p].len);
            positions.extend((offset..offset + segment.len).map(|p| p as u32));
            offsets.push(offset);
            next += segment.len;
        }
        if next != tokens.len() {
            return Err(invalid(segments.len(), format!("{next} tokens covered of {}", tokens.len())).into());
        }
        Ok(Self { tokens, positions, segments, offsets })
    }

    /// A packing of a single sequence.
    pub fn single(tokens: &[u32]) -> Self {
        let len = tokens.len();
        Self {
            tokens: tokens.to_vec(),
            positions: (0..len as u32).collect(),
            segments: (len > 0).then_some(Segment { start: 0, len, parent: None }).into_iter().collect(),
            offsets: if len > 0 { vec![0] } else { Vec::new() },
        }
    }

    /// Token ids, `[T]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Positions from the root, `[T]`.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The segments, parents first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Position of a segment's first token.
    pub fn offset(&self, segment: usize) -> usize {
        self.offsets[segment]
    }

    /// The ancestors of a segment, from the root down, excluding the segment itself.
    pub fn ancestors(&self, segment: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut at = self.segments[segment].parent;
        while let Some(p) = at {
            chain.push(p);
            at = self.segments[p].parent;
        }
        chain.reverse();
        chain
    }

    /// Length of the longest text in the forest.
    pub fn longest(&self) -> usize {
        self.segments.iter().zip(&self.offsets).map(|(s, o)| o + s.len).max().unwrap_or(0)
    }

    /// Number of packed tokens, T.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_the_root() {
        let segments = vec![
            Segment { start: 0, len: 2, parent: None },
            Segment { start: 2, len: 3, parent: Some(0) },
            Segment { start: 5, len: 1, parent: Some(0) },
            Segment { start: 6, len: 2, parent: Some(1) },
            Segment { start: 8, len: 1, parent: None },
        ];
        let packing = Packing::new((0..9).collect(), segments).expect("a forest");
        assert_eq!(packing.positions(), [0, 1, 2, 3, 4, 2, 5, 6, 0]);
        assert_eq!(packing.ancestors(3), [0, 1]);
        assert_eq!(packing.longest(), 7);
    }

    #[test]
    fn a_child_before_its_parent_is_refused() {
        let segments =
            vec![Segment { start: 0, len: 1, parent: Some(1) }, Segment { start: 1, len: 1, parent: None }];
        assert!(Packing::new(vec![1, 2], segments).is_err());
        assert!(Packing::new(vec![1, 2], vec![Segment { start: 0, len: 1, parent: None }]).is_err());
    }
}
