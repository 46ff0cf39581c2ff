//! Single texts to look at: a card each, its tokens coloured by one of several scores.

/// Cards that are looked at together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deck {
    /// What tokens may be coloured by, in words; the first is shown first. Empty: nothing is coloured.
    pub colours: Vec<String>,
    /// The cards.
    pub cards: Vec<Card>,
}

/// A card.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Card {
    /// Why it is there; what cards are chosen by.
    pub why: &'static str,
    /// What it is of.
    pub title: String,
    /// What the texts answer; empty: not known.
    pub context: String,
    /// Figures: name, as shown, and what cards are ordered by.
    pub figures: Vec<(&'static str, String, Option<f64>)>,
    /// The texts.
    pub passages: Vec<Passage>,
    /// Sentences below them.
    pub notes: Vec<String>,
}

/// A text in pieces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passage {
    /// What it is beside another one; empty: alone.
    pub caption: &'static str,
    /// Its tokens as pieces of text, `[T]`.
    pub pieces: Vec<String>,
    /// Tokens that are not shown.
    pub left_out: usize,
    /// One a colour of the deck, in its order; empty: nothing is known of its tokens.
    pub shades: Vec<Shade>,
}

/// Steps of colour on each side of nothing.
pub const STEPS: i8 = 4;

/// A colour for each token, from −[`STEPS`] to [`STEPS`]; 0 beyond its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shade(pub Vec<i8>);

impl Shade {
    /// Scores in steps of `unit`, rounded, cut at the last step; none where the unit is not positive.
    pub fn of(scores: &[f64], unit: f64) -> Self {
        if !(unit > 0.0 && unit.is_finite()) {
            return Self::default();
        }
        let most = f64::from(STEPS);
        // A score that is not a number has no colour: the cast makes it 0.
        Self(scores.iter().map(|s| (s / unit).round().clamp(-most, most) as i8).collect())
    }

    /// The step of a token.
    pub fn at(&self, token: usize) -> i8 {
        self.0.get(token).copied().unwrap_or(0)
    }

    /// A letter a token, `a` for −[`STEPS`], `e` for 0, `i` for [`STEPS`]: what the page's script reads.
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
