//! A statement of the paper as the program knows it: what measures it, and what a report says of it.

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

/// A statement: one constant in the statement's file, one line in [`STATEMENTS`](super::STATEMENTS).
pub struct Statement {
    /// Its module under `theory`.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
    /// The quantities that it measures.
    pub quantities: &'static [Quantity],
    /// The tables of the report that it fills and shows.
    pub tables: &'static [&'static str],
    /// What it rests on.
    pub rests: Rests,
    pub(crate) measures: &'static [Measure],
    pub(crate) section: Option<fn(&Index<'_>) -> Option<Evidence>>,
}

/// What a statement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// Rewards, read as what constitutions do: of a judge that is not valid they are the judge's alone.
    OnTheJudge,
    /// The model, the state, or the judge as such.
    Otherwise,
}

/// How a statement is measured, by what it needs. `gives`: the quantities that stand without a figure, with the reason, where
/// there are no rows to measure on.
pub(crate) enum Measure {
    /// On all rows, once a control.
    Shared { gives: &'static [Quantity], of: fn(&mut Stage<'_>, &Rc<Bench>, &mut Analysis) -> Result<()> },
    /// On the rows that label a value.
    Value { gives: &'static [Quantity], of: fn(&OfValue<'_>) -> Vec<Estimate> },
    /// On the rows that label a value and that a constitution rewards.
    Pair { gives: &'static [Quantity], of: fn(&OfPair<'_>) -> Cells },
    /// A value under all constitutions whose rewards were obtained in one way.
    Arm(OfArm),
    /// Anything else at one layer under one control, for the values of these numbers.
    Whole(OfWhole),
    /// The same, without length control only.
    Uncontrolled(OfWhole),
    /// Labels and judgments alone.
    Problem(fn(&Problem, &Options) -> Vec<Estimate>),
    /// The exported directions, of which the reported layer has this number.
    Directions(fn(&mut Analysis, usize)),
}

/// Stage, value, its rows, the judgments of one mode, tests of the report so far, and what is known so far.
pub(crate) type OfArm =
    fn(&mut Stage<'_>, &Value, &Rows, &[&Judged], &mut Tests, &mut Analysis) -> Result<()>;

/// Stage, the numbers of the values, and what is known so far.
pub(crate) type OfWhole = fn(&mut Stage<'_>, &[usize], &mut Analysis) -> Result<()>;

/// Why there is no figure of generation.
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
    /// Between S and the reward.
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

    /// `alignment`, cross-checked once.
    pub(crate) fn alignment(&self) -> &Estimate {
        self.alignment
            .get_or_init(|| angle::alignment(self.bench, &self.value.name, self.s, &self.judged.name, self.r))
    }
}

/// What was measured of a value under a constitution.
#[derive(Default)]
pub(crate) struct Cells {
    pub(crate) estimates: Vec<Estimate>,
    /// Those whose p is adjusted for all constitutions and values.
    pub(crate) tested: Vec<Tested>,
}

impl Cells {
    pub(crate) fn of(estimates: impl IntoIterator<Item = Estimate>) -> Self {
        Self { estimates: estimates.into_iter().collect(), tested: Vec::new() }
    }
}

/// A test against 0 in the family of its first quantity.
pub(crate) struct Tested {
    /// The quantities among the cell's estimates that take its p.
    pub(crate) takes: &'static [Quantity],
    pub(crate) influence: Influence,
    pub(crate) se: f64,
}

impl Statement {
    /// The statement as a report shows it; `None` where there is nothing to say. `complaint`: why the judge is not valid,
    /// which is said first where the statement reads rewards as what constitutions do.
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
