//! Cards of single texts, with tokens coloured by one of several scores.

/// A set of cards that are viewed together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deck {
    /// Descriptions of the available colourings; the first is the default. Empty if nothing is coloured.
    pub colours: Vec<String>,
    /// The cards.
    pub cards: Vec<Card>,
}

/// A card.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// Reason for its selection; cards can be filtered by it.
    pub why: &'static str,
    /// Title.
    pub title: String,
    /// The text that the passages answer; empty if unknown.
    pub context: String,
    /// Figures: name, formatted value, and sort key.
    pub figures: Vec<(&'static str, String, Option<f64>)>,
    /// Texts.
    pub passages: Vec<Passage>,
    /// Sentences below the texts.
    pub notes: Vec<String>,
}

/// A text in pieces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passage {
    /// Caption that distinguishes it from another passage; empty if it is the only one.
    pub caption: &'static str,
    /// Its tokens as pieces of text, `[T]`.
    pub pieces: Vec<String>,
    /// Number of tokens that are not shown.
    pub left_out: usize,
    /// One per colouring of the deck, in order; empty if the tokens have no scores.
    pub shades: Vec<Shade>,
}

/// Number of colour steps on each side of neutral.
pub const STEPS: i8 = 4;

/// Colour step of each token, from −[`STEPS`] to [`STEPS`]; 0 beyond the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shade(pub Vec<i8>);

impl Shade {
    /// Scores in steps of `unit`, rounded and clamped; all neutral if the unit is not positive.
    pub fn of(scores: &[f64], unit: f64) -> Self {
        if !(unit > 0.0 && unit.is_finite()) {
            return Self::default();
        }
        let most = f64::from(STEPS);
        // NaN has no colour: the cast turns it into 0.
        Self(scores.iter().map(|s| (s / unit).round().clamp(-most, most) as i8).collect())
    }

    /// The step of a token.
    pub fn at(&self, token: usize) -> i8 {
        self.0.get(token).copied().unwrap_or(0)
    }

    /// One letter per token, `a` for −[`STEPS`], `e` for 0, `i` for [`STEPS`]; read by the page's script.
    pub fn letters(&self) -> String {
        self.0.iter().map(|&step| char::from((i16::from(b'e') + i16::from(step)) as u8)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_steps_of_the_unit_and_letters() {
        let shade = Shade::of(&[0.0, 0.24, 0.26, -1.0, 9.0, -9.0, f64::NAN], 0.5);
        assert_eq!(shade.0, [0, 0, 1, -2, 4, -4, 0]);
        assert_eq!(shade.letters(), "eefciae");
        assert_eq!((shade.at(3), shade.at(99)), (-2, 0));
        for unit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Shade::of(&[1.0], unit), Shade::default());
        }
    }
}
