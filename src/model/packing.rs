//! Token segments packed into one matrix, with their positions and attention structure.

use std::ops::Range;

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
    /// Number of leading segments, and of their tokens, that are computed already.
    done: (usize, usize),
}

impl Packing {
    /// Checks that segments tile the tokens in order and that parents come first.
    ///
    /// # Errors
    /// `Invalid` otherwise: the caller passed segments that do not form a forest.
    pub fn new(tokens: Vec<u32>, segments: Vec<Segment>) -> Result<Self> {
        let mut packing = Self {
            positions: Vec::with_capacity(tokens.len()),
            offsets: Vec::with_capacity(segments.len()),
            tokens: Vec::new(),
            segments: Vec::new(),
            done: (0, 0),
        };
        packing.append(tokens, segments)?;
        Ok(packing)
    }

    /// Adds segments to a forest whose tokens are computed, and whose keys and values are in a cache: from now on, only
    /// the added tokens are computed. `start` and `parent` of the segments count in the whole forest.
    ///
    /// # Errors
    /// As [`Packing::new`]; the forest is then as it was.
    pub fn extend(&mut self, tokens: Vec<u32>, segments: Vec<Segment>) -> Result<()> {
        let before = (self.segments.len(), self.tokens.len());
        self.append(tokens, segments)?;
        self.done = before;
        Ok(())
    }

    fn append(&mut self, tokens: Vec<u32>, segments: Vec<Segment>) -> Result<()> {
        let (from, start) = (self.segments.len(), self.tokens.len());
        let total = start + tokens.len();
        let checked = segments.iter().zip(from..).try_fold(start, |next, (segment, i)| {
            let fits = segment.start == next && segment.len > 0 && segment.parent.is_none_or(|p| p < i);
            if fits {
                Ok(next + segment.len)
            } else {
                Err((i, format!("{segment:?} where token {next} comes next")))
            }
        });
        let checked = checked.and_then(|next| {
            let uncovered = || (from + segments.len(), format!("{next} tokens covered of {total}"));
            if next == total { Ok(()) } else { Err(uncovered()) }
        });
        checked.map_err(|(i, found)| {
            Diagnostic::new(Kind::Invalid, format!("segment {i} does not belong in a packed forest"))
                .expected("segments that tile the tokens in order, each after its parent")
                .found(found)
        })?;
        for segment in segments {
            let offset = segment.parent.map_or(0, |p| self.offsets[p] + self.segments[p].len);
            self.positions.extend((offset..offset + segment.len).map(|p| p as u32));
            self.offsets.push(offset);
            self.segments.push(segment);
        }
        self.tokens.extend(tokens);
        Ok(())
    }

    /// A packing of a single sequence.
    pub fn single(tokens: &[u32]) -> Self {
        let len = tokens.len();
        Self {
            tokens: tokens.to_vec(),
            positions: (0..len as u32).collect(),
            segments: (len > 0).then_some(Segment { start: 0, len, parent: None }).into_iter().collect(),
            offsets: if len > 0 { vec![0] } else { Vec::new() },
            done: (0, 0),
        }
    }

    /// Packed indices of the tokens to compute: all of them, or those of the last [`Packing::extend`].
    pub fn fresh(&self) -> Range<usize> {
        self.done.1..self.tokens.len()
    }

    /// Indices of the segments to compute.
    pub fn fresh_segments(&self) -> Range<usize> {
        self.done.0..self.segments.len()
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

    #[test]
    fn an_extended_forest_computes_what_was_added() {
        let root = Segment { start: 0, len: 3, parent: None };
        let mut packing = Packing::new(vec![1, 2, 3], vec![root]).expect("a forest");
        assert_eq!((packing.fresh(), packing.fresh_segments()), (0..3, 0..1));
        let children: Vec<Segment> =
            [3, 4].map(|start| Segment { start, len: 1, parent: Some(0) }).into_iter().collect();
        packing.extend(vec![4, 5], children.clone()).expect("children");
        assert_eq!((packing.fresh(), packing.fresh_segments()), (3..5, 1..3));
        assert_eq!(packing.positions()[packing.fresh()], [3, 3]);
        let whole = packing.clone();
        assert!(packing.extend(vec![6], children).is_err());
        assert_eq!(packing, whole);
    }
}
