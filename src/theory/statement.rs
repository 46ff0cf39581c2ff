//! A statement of the paper: how it is measured, and what a report says about it.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::document::{Claim, Evidence};
use crate::error::Result;
use crate::probe::Influence;
use crate::theory::base::analysis::{Analysis, Options};
use crate::theory::base::angle::{self, Angle};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::multiplicity::Tests;
use crate::theory::base::problem::{Judged, Problem, Value};
use crate::theory::base::rows::Rows;
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;

/// A statement: one constant in its own file, listed in [`STATEMENTS`](super::STATEMENTS).
pub struct Statement {
    /// Name of its module under `theory`.
    pub name: &'static str,
    /// Title.
    pub title: &'static str,
    /// Location in the paper.
    pub source: &'static str,
    /// Quantities it measures.
    pub quantities: &'static [Quantity],
    /// Tables of the report that it fills and shows.
    pub tables: &'static [&'static str],
    /// What its conclusion depends on.
    pub rests: Rests,
    pub(crate) measures: &'static [Measure],
    pub(crate) section: Option<fn(&Index<'_>) -> Option<Evidence>>,
}

/// What a statement's conclusion depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// Rewards, interpreted as the effect of constitutions. If the judge is not valid, they describe the judge alone.
    OnTheJudge,
    /// The model, the state, or the judge itself.
    Otherwise,
}

/// How a statement is measured, by its inputs. `gives` lists the quantities reported without a figure, with the
/// reason, where there are no rows to measure on.
pub(crate) enum Measure {
    /// On all rows, once per control.
    Shared { gives: &'static [Quantity], of: fn(&mut Stage<'_>, &Rc<Bench>, &mut Analysis) -> Result<()> },
    /// On the rows that label a value.
    Value { gives: &'static [Quantity], of: fn(&OfValue<'_>) -> Vec<Estimate> },
    /// On the rows that have both a label of the value and a reward of the constitution.
    Pair { gives: &'static [Quantity], of: fn(&OfPair<'_>) -> Cells },
    /// A value under all constitutions whose rewards were obtained in the same mode.
    Arm(OfArm),
    /// Anything else at one layer under one control, for the values with these indices.
    Whole(OfWhole),
    /// Like `Whole`, but only without length control.
    Uncontrolled(OfWhole),
    /// From labels and judgments alone.
    Problem(fn(&Problem, &Options) -> Vec<Estimate>),
    /// From the exported directions; the number is the index of the reported layer.
    Directions(fn(&mut Analysis, usize)),
}

/// Stage, value, its rows, the judgments of one mode, the tests of the report so far, and the analysis so far.
pub(crate) type OfArm =
    fn(&mut Stage<'_>, &Value, &Rows, &[&Judged], &mut Tests, &mut Analysis) -> Result<()>;

/// Stage, indices of the values, and the analysis so far.
pub(crate) type OfWhole = fn(&mut Stage<'_>, &[usize], &mut Analysis) -> Result<()>;

/// Reason given where quantities of the generation direction are missing.
pub(crate) const NO_LOGPROB: &str = "the observations hold no log-probabilities";

/// A value on the rows that label it.
pub(crate) struct OfValue<'a> {
    pub(crate) stage: &'a Stage<'a>,
    pub(crate) value: &'a Value,
    pub(crate) bench: &'a Bench,
    pub(crate) s: &'a Label,
    pub(crate) logprob: Option<&'a Label>,
}

/// A value under a constitution, on the rows that have both.
pub(crate) struct OfPair<'a> {
    pub(crate) stage: &'a Stage<'a>,
    pub(crate) value: &'a Value,
    pub(crate) judged: &'a Judged,
    pub(crate) bench: &'a Bench,
    pub(crate) s: &'a Label,
    pub(crate) r: &'a Label,
    pub(crate) logprob: Option<&'a Label>,
    /// Angle between S and the reward.
    pub(crate) angle: Angle,
    alignment: OnceCell<Estimate>,
}

impl<'a> OfPair<'a> {
    pub(crate) fn new(
        (stage, value, judged): (&'a Stage<'a>, &'a Value, &'a Judged),
        bench: &'a Bench,
        (s, r, logprob): (&'a Label, &'a Label, Option<&'a Label>),
    ) -> Self {
        let angle = Angle::new(bench, s, r);
        Self { stage, value, judged, bench, s, r, logprob, angle, alignment: OnceCell::new() }
    }

    /// `alignment` with its cross-checks, computed once.
    pub(crate) fn alignment(&self) -> &Estimate {
        self.alignment
            .get_or_init(|| angle::alignment(self.bench, &self.value.name, self.s, &self.judged.name, self.r))
    }
}

/// Measurements of a value under a constitution.
#[derive(Default)]
pub(crate) struct Cells {
    pub(crate) estimates: Vec<Estimate>,
    /// Tests whose p is adjusted for all constitutions and values.
    pub(crate) tested: Vec<Tested>,
}

impl Cells {
    pub(crate) fn of(estimates: impl IntoIterator<Item = Estimate>) -> Self {
        Self { estimates: estimates.into_iter().collect(), tested: Vec::new() }
    }
}

/// A test against 0 in the family of its first quantity.
pub(crate) struct Tested {
    /// Quantities among the cell's estimates that receive the p.
    pub(crate) takes: &'static [Quantity],
    pub(crate) influence: Influence,
    pub(crate) se: f64,
}

impl Statement {
    /// The statement as shown in a report; `None` where there is nothing to say. `complaint` says why the judge is
    /// not valid; it comes first where the statement interprets rewards as the effect of constitutions.
    pub(crate) fn claim(&self, index: &Index<'_>, complaint: Option<&str>) -> Option<Claim> {
        let mut evidence = self.section.and_then(|section| section(index))?;
        if let (Rests::OnTheJudge, Some(complaint)) = (self.rests, complaint) {
            evidence.verdict = format!(
                "Not of the constitutions but of the judge, which is not valid (it {complaint}): {}",
                evidence.verdict
            );
        }
        for (_, table) in &mut evidence.tables {
            *table = std::mem::take(table).without_blank_columns();
        }
        Some(Claim { title: self.title, source: self.source, evidence })
    }
}
