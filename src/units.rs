//! Newtypes for indices and amounts, so that a layer cannot be confused with a row; each defines the syntax in which
//! users write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A layer of the residual stream: 0 is the output of the embeddings (the input of block 1), `l` is the output of
/// block `l`, before the final norm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Layer(pub usize);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of tokens `[start, end)` inside one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSpan {
    /// First token.
    pub start: usize,
    /// One past the last token.
    pub end: usize,
}

impl TokenSpan {
    /// Number of tokens.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the range is empty.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// Highest layer allowed in a list; no model has as many.
const MOST_LAYERS: usize = 4096;

/// A selection of layers: `all`, or numbers and ranges such as `0,4-8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LayerList {
    /// Every layer of the model.
    #[default]
    All,
    /// These layers, ascending, without duplicates.
    These(Vec<Layer>),
}

impl LayerList {
    /// Syntax accepted by [`LayerList::from_str`], for messages.
    pub const GRAMMAR: &'static str = "`all`, or numbers and ranges such as `0,4-8`";

    /// These layers, sorted and without duplicates; `None` if there are none.
    pub fn these(layers: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut layers: Vec<Layer> = layers.into_iter().map(Layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let named = layers.last().is_some_and(|last| last.0 <= MOST_LAYERS);
        named.then_some(Self::These(layers))
    }

    /// The layer numbers; `None` for all.
    pub fn numbers(&self) -> Option<Vec<usize>> {
        match self {
            Self::All => None,
            Self::These(layers) => Some(layers.iter().map(|l| l.0).collect()),
        }
    }
}

impl FromStr for LayerList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.trim().parse::<usize>().ok()?, to.trim().parse::<usize>().ok()?);
            (from <= to && to <= MOST_LAYERS).then_some(from..=to)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges
            .and_then(|ranges| Self::these(ranges.into_iter().flatten()))
            .ok_or_else(|| format!("expected {}, found `{text}`", Self::GRAMMAR))
    }
}

impl fmt::Display for LayerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::These(layers) => {
                let all: Vec<String> = layers.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(","))
            }
        }
    }
}

/// An amount of memory in bytes: `8GB` (10⁹ each), `8 GiB` (2³⁰ each), `512mb`, or a number of bytes.
/// Case-insensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Syntax accepted by [`ByteSize::from_str`], for messages.
    pub const GRAMMAR: &'static str =
        "bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as `8GB`";
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected {}, found `{text}`", Self::GRAMMAR);
        let lower = text.trim().to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(end);
        let unit = match unit.trim() {
            "" | "b" => 1.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "kib" => f64::from(1u32 << 10),
            "mib" => f64::from(1u32 << 20),
            "gib" => f64::from(1u32 << 30),
            "tib" => 1024.0 * f64::from(1u32 << 30),
            _ => return Err(refused()),
        };
        // Below 2⁵³ f64 represents bytes exactly.
        let bytes = number.parse::<f64>().map_err(|_| refused())? * unit;
        if (1.0..9e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(refused()) }
    }
}

/// One of `of` parts of a job, by its number from 1. Pieces of the job are dealt out in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    number: usize,
    of: usize,
}

/// Maximum number of parts of a job.
const MOST_PARTS: usize = 1_000_000;

impl Part {
    /// Syntax accepted by [`Part::from_str`], for messages.
    pub const GRAMMAR: &'static str = "I/N with I from 1 to N and N up to 1,000,000, such as `3/8`";

    /// Part `number` of `of`, counted from 1; `None` if there is no such part.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        (of <= MOST_PARTS && (1..=of).contains(&number)).then_some(Self { number, of })
    }

    /// Number of the part, from 1.
    pub fn number(self) -> usize {
        self.number
    }

    /// Number of parts.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether a piece, by its index from 0, belongs to this part: each piece belongs to exactly one of the parts.
    pub fn holds(self, piece: usize) -> bool {
        piece % self.of == self.number - 1
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected {}, found `{text}`", Self::GRAMMAR);
        let (number, of) = text.split_once('/').ok_or_else(refused)?;
        let read = |n: &str| n.trim().parse::<usize>().map_err(|_| refused());
        Self::new(read(number)?, read(of)?).ok_or_else(refused)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A setting with a fixed set of words, the same in files, flags and records.
pub trait OneOf: Copy + PartialEq + Send + Sync + 'static {
    /// Word, value, and description of each option.
    const WORDS: &'static [(&'static str, Self, &'static str)];

    /// The word of this value.
    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value, _)| *value == self).map_or("", |(word, ..)| word)
    }

    /// The value with this word.
    fn of_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, ..)| *word == text).map(|(_, value, _)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_parse_or_say_why_not() {
        let of = |text: &str| text.parse::<LayerList>();
        assert_eq!(of("all"), Ok(LayerList::All));
        assert_eq!(of("5,0,4-6").expect("layers").numbers(), Some(vec![0, 4, 5, 6]));
        assert_eq!(of("5,0,4-6").expect("layers").to_string(), "0,4,5,6");
        for bad in ["6-4", "x", "", "1,", "0-99999", "-1"] {
            assert!(of(bad).expect_err(bad).contains("0,4-8"), "{bad}");
        }
    }

    #[test]
    fn each_piece_belongs_to_one_part_and_parts_differ_by_at_most_one_piece() {
        for (of, pieces) in [(1, 5), (3, 10), (8, 8), (7, 3)] {
            let parts: Vec<Part> = (1..=of).map(|n| Part::new(n, of).expect("a part")).collect();
            let sizes: Vec<usize> =
                parts.iter().map(|p| (0..pieces).filter(|&i| p.holds(i)).count()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), pieces);
            assert!((0..pieces).all(|i| parts.iter().filter(|p| p.holds(i)).count() == 1));
            assert!(sizes.iter().max().expect("some") - sizes.iter().min().expect("some") <= 1);
        }
        assert_eq!("3/8".parse::<Part>().map(|p| p.to_string()), Ok("3/8".into()));
        for bad in ["0/8", "9/8", "3", "a/8", "3/0", "/", "-1/2", "", "1/1000001"] {
            assert!(bad.parse::<Part>().expect_err(bad).contains("3/8"), "{bad}");
        }
    }

    #[test]
    fn an_amount_of_memory_has_one_grammar() {
        for (text, bytes) in [
            ("2GB", 2_000_000_000),
            ("1.5 mb", 1_500_000),
            ("8 GiB", 8 << 30),
            ("8gib", 8 << 30),
            ("1TB", 1_000_000_000_000),
            ("4096", 4096),
            ("1 B", 1),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["-1", "much", "", "GB", "8 G B", "0", "1e99GB", "8GBs"] {
            assert!(bad.parse::<ByteSize>().expect_err(bad).contains("8GB"), "{bad}");
        }
    }
}
