//! Section: effect of constitutions on the state, measured on activations captured under them.

use crate::document::Evidence;
use crate::document::table::{Cell, NAME, Table};
use crate::document::text::shortened;
use crate::theory::base::estimate::Control;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOT_IDENTIFIABLE, NOTHING, count, counted, number, p, percent};
use crate::theory::state::placebo::Band;
use crate::theory::state::{
    Agreement, Cell as Found, Figure, Finding, Missing, Outcome, Reading, Route, Shifted, Story, TABLE,
};

/// Section 3.2, Remark 1.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let findings: Vec<Finding> = index.table(TABLE)?;
    let plain = findings.iter().find(|f| f.control == Control::None)?;
    let length = findings.iter().find(|f| f.control == Control::Length);
    let real: Vec<&Found> = plain.cells.iter().filter(|c| !c.placebo).collect();
    let mut tables = Vec::new();
    if !real.is_empty() {
        tables.push(("By value and constitution".to_owned(), main(&real)));
        tables.push(("Do the estimators tell one story?".to_owned(), stories(&plain.stories)));
        tables.push(("Variances, and how v* turns".to_owned(), details(&real)));
    }
    if !plain.shifts.is_empty() {
        tables.push((
            "How far the state moves, and whether that depends on the response".to_owned(),
            moves(plain),
        ));
    }
    Some(Evidence { verdict: verdict(plain, length), notes: notes(plain), tables, figures: vec![] })
}

/// Summary of the effect on the state, without any judge; `None` where it has no verdict.
pub(crate) fn without_a_judge(index: &Index<'_>) -> Option<String> {
    let findings: Vec<Finding> = index.table(TABLE)?;
    let plain = findings.iter().find(|f| f.control == Control::None)?;
    let length = findings.iter().find(|f| f.control == Control::Length);
    let tested: Vec<&Found> =
        plain.cells.iter().filter(|c| !c.placebo && READINGS.iter().any(|t| can_tell((t.get)(c)))).collect();
    if tested.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for (cell, _) in READINGS.iter().flat_map(|t| clear(plain, length, t.get)) {
        if !names.contains(&cell.constitution.as_str()) {
            names.push(&cell.constitution);
        }
    }
    let mut all: Vec<&str> = tested.iter().map(|c| c.constitution.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    let of = counted(all.len() as u64, "constitution");
    Some(match names[..] {
        [] => format!(
            "Read under {of}, without asking the judge, that state shows nothing that texts without content do not do as well, as far as these data \
             tell."
        ),
        [first, ..] => format!(
            "Read under {of}, without asking the judge, that state answers to {} beyond what texts without content do{}.",
            names.len(),
            if names.len() == 1 { format!(" (“{}”)", shortened(first, NAME)) } else { String::new() }
        ),
    })
}

type Get = fn(&Found) -> &Reading;

/// A figure used for verdicts.
struct Tested {
    get: Get,
    /// Short name for table cells.
    short: &'static str,
    /// Effect of a constitution where the figure is clear, in the plural.
    does: &'static str,
}

/// All tested figures; their p are adjusted together.
const READINGS: [Tested; 5] = [
    Tested { get: |c| &c.alignment, short: "Δ_c", does: "add a direction along or against v*" },
    Tested { get: |c| &c.gain, short: "gain", does: "amplify or damp it" },
    Tested { get: |c| &c.retrieval, short: "ρ²", does: "make the value easier or harder to read" },
    Tested { get: |c| &c.turn, short: "turn of v*", does: "turn v* more or less than such texts do" },
    Tested { get: |c| &c.conditioned, short: "w_c", does: "turn generation along or against v*" },
];

/// Whether a reading could be found to lie beyond the placebo texts: it has a figure and a band, and a cosine's band
/// does not cover the whole range.
fn can_tell(reading: &Reading) -> bool {
    let room = |b: Band| b.lo > -1.0 || b.hi < 1.0;
    reading.outcome.sign().is_some() && reading.band.is_some_and(room)
}

/// Cells with a clear reading, which must also hold under length control where that was measured.
fn clear<'a>(
    plain: &'a Finding,
    length: Option<&Finding>,
    get: fn(&Found) -> &Reading,
) -> Vec<(&'a Found, Outcome)> {
    let same = |cell: &Found, outcome: Outcome| {
        length.is_none_or(|f| {
            f.cells
                .iter()
                .find(|c| c.value == cell.value && c.constitution == cell.constitution)
                .is_some_and(|c| get(c).outcome == outcome)
        })
    };
    plain
        .cells
        .iter()
        .filter(|c| !c.placebo)
        .map(|c| (c, get(c).outcome))
        .filter(|(c, outcome)| matches!(outcome, Outcome::Higher | Outcome::Lower) && same(c, *outcome))
        .collect()
}

fn verdict(plain: &Finding, length: Option<&Finding>) -> String {
    if plain.missing.contains(&Missing::Rows) {
        return "Not measured: the observations hold no rows read under constitutions.".into();
    }
    if plain.missing.contains(&Missing::Prompts) {
        return "Not measured: which rows answer the same prompt is not known.".into();
    }
    let real: Vec<&Found> = plain.cells.iter().filter(|c| !c.placebo).collect();
    if real.is_empty() {
        return "Not measured: no constitution outside the placebo arm was read.".into();
    }
    if plain.placebos < crate::theory::state::placebo::ENOUGH {
        return format!(
            "No verdict: {} under which the responses were read; four independent ones are needed.",
            counted(plain.placebos as u64, "placebo text")
        );
    }
    let tested: Vec<usize> =
        READINGS.iter().map(|t| real.iter().filter(|c| can_tell((t.get)(c))).count()).collect();
    let known = real.iter().filter(|c| READINGS.iter().any(|t| can_tell((t.get)(c)))).count();
    if known == 0 {
        return "No verdict: no value is identifiable in the state.".into();
    }
    let untold = match real.len() - known {
        0 => String::new(),
        n => format!(" In {} more it cannot be told.", count(n as u64)),
    };
    let found: Vec<Vec<(&Found, Outcome)>> = READINGS.iter().map(|t| clear(plain, length, t.get)).collect();
    let possible: Vec<&str> =
        READINGS.iter().zip(&tested).filter(|(_, n)| **n > 0).map(|(t, _)| t.does).collect();
    if found.iter().all(Vec::is_empty) {
        return format!(
            "In {} (a value and a constitution) no constitution is seen to do anything of this beyond what placebo texts do: {}.{untold}",
            counted(known as u64, "case"),
            possible.join("; ")
        );
    }
    let part = |i: usize| -> String {
        let names: Vec<String> = found[i].iter().take(3).map(|(c, o)| named(c, *o)).collect();
        let more = found[i].len().saturating_sub(3);
        let list = match (names.is_empty(), more) {
            (true, _) => String::new(),
            (false, 0) => format!(" ({})", names.join(", ")),
            (false, n) => format!(" ({} and {n} more)", names.join(", ")),
        };
        format!("{} of {} {}{list}", found[i].len(), tested[i], READINGS[i].does)
    };
    let parts: Vec<String> = (0..READINGS.len()).filter(|&i| tested[i] > 0).map(part).collect();
    format!("Beyond placebo texts, of the cases (a value and a constitution): {}.{untold}", parts.join("; "))
}

fn named(cell: &Found, outcome: Outcome) -> String {
    let sign = if outcome == Outcome::Higher { "+" } else { "−" };
    format!("{} on {} {sign}", cell.constitution, cell.value)
}

fn figure(f: Option<Figure>) -> String {
    let Some(f) = f else { return NOT_IDENTIFIABLE.to_owned() };
    let show = |v: f64| number(v, Some(f.se));
    format!("{} [{}, {}]", show(f.value), show(f.lo), show(f.hi))
}

fn band(reading: &Reading) -> String {
    let Some(b) = reading.band else { return NOTHING.to_owned() };
    let se = reading.figure.map(|f| f.se);
    format!("[{}, {}]", number(b.lo, se), number(b.hi, se))
}

fn main(cells: &[&Found]) -> Table {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">cos(Δ_c, v*) [95 %]",
        ">placebos",
        ">gain along v* [95 %]",
        ">placebos",
        ">Δρ² [95 %]",
        ">placebos",
        "beyond placebos",
    ]);
    for c in cells {
        let mut beyond: Vec<String> = Vec::new();
        for Tested { get, short: name, .. } in &READINGS {
            match get(c).outcome {
                Outcome::Higher => beyond.push(format!("{name} +")),
                Outcome::Lower => beyond.push(format!("{name} −")),
                _ => {}
            }
        }
        let none = !READINGS.iter().any(|t| can_tell((t.get)(c)));
        table.rows.push(vec![
            Cell::name(&c.value),
            Cell::name(&c.constitution),
            Cell::number(figure(c.alignment.figure)),
            Cell::number(band(&c.alignment)),
            Cell::number(figure(c.gain.figure)),
            Cell::number(band(&c.gain)),
            Cell::number(figure(c.retrieval.figure)),
            Cell::number(band(&c.retrieval)),
            Cell::plain(match (beyond.is_empty(), none) {
                (true, true) => "no verdict".to_owned(),
                (true, false) => "nothing".to_owned(),
                (false, _) => beyond.join(", "),
            }),
        ]);
    }
    table
}

/// Columns of the table of routes.
const ROUTES: [Route; 8] = [
    Route::ForcedChoice,
    Route::Pointwise,
    Route::Implicit,
    Route::Given,
    Route::Activation,
    Route::Generation,
    Route::Gain,
    Route::Retrieval,
];

fn stories(stories: &[Story]) -> Table {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        "v_c, choices",
        "v_c, pointwise",
        "v_c, implicit",
        "v_c, given",
        "Δ_c",
        "w_c",
        "gain",
        "ρ²",
        "together",
    ]);
    // Pairs without any conclusive route are only counted.
    let silent = |story: &&Story| matches!(story.agreement, Agreement::Silent);
    for story in stories.iter().filter(|s| !silent(s)) {
        let mut row = vec![Cell::name(&story.value), Cell::name(&story.constitution)];
        row.extend(ROUTES.iter().map(|route| {
            let sign = story.signs.iter().find(|s| s.route == *route);
            Cell::plain(match sign.map(|s| s.sign) {
                None => NOTHING,
                Some(None) => NOT_IDENTIFIABLE,
                Some(Some(0)) => "0",
                Some(Some(s)) if s > 0 => "+",
                Some(Some(_)) => "−",
            })
        }));
        row.push(Cell::plain(match story.agreement {
            Agreement::OneStory { sign } if sign > 0 => "one story: along v*".to_owned(),
            Agreement::OneStory { .. } => "one story: against v*".to_owned(),
            Agreement::Contradiction => "they contradict".to_owned(),
            Agreement::OneRoute { route, sign } => {
                format!("{} v* by {} alone", if sign > 0 { "along" } else { "against" }, route_name(route))
            }
            Agreement::Silent => "nothing clear".to_owned(),
            Agreement::Unknown => NOT_IDENTIFIABLE.to_owned(),
        }));
        table.rows.push(row);
    }
    table
}

fn route_name(route: Route) -> &'static str {
    match route {
        Route::ForcedChoice => "choices",
        Route::Pointwise => "pointwise questions",
        Route::Implicit => "likelihoods",
        Route::Given => "given scores",
        Route::Activation => "the shift of the state",
        Route::Generation => "generation",
        Route::Gain => "the gain",
        Route::Retrieval => "ρ²",
    }
}

/// Largest number of rows for which the table of variances shows all of them.
const ALL: usize = 16;

fn details(cells: &[&Found]) -> Table {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">Var⟨h_c, v*⟩ / Var⟨h_0, v*⟩ [95 %]",
        ">random directions (sd)",
        ">ρ² [95 %]",
        ">cos(v*_c, v*_0) [95 %]",
        ">placebos",
        ">read under c [95 %]",
        ">cos(w_c, v*) − cos(w_0, v*) [95 %]",
        ">placebos",
        ">raw cos(Δ_c, v*)",
        ">reliability of Δ_c",
        ">p adj. Δ_c, gain, ρ², turn, w_c",
    ]);
    // Larger tables show only rows with a clear figure; the others are in the JSON file.
    let clear = |c: &Found| READINGS.iter().any(|t| (t.get)(c).p_adjusted.is_some_and(|p| p < 0.05));
    for c in cells.iter().filter(|c| cells.len() <= ALL || clear(c)) {
        let random =
            c.random.map(|(mean, sd)| format!("{} ({})", number(mean, Some(0.01)), number(sd, Some(0.01))));
        let plain = |v: Option<f64>| v.map_or_else(|| NOTHING.to_owned(), |v| number(v, Some(0.01)));
        let adjusted: Vec<String> = READINGS.iter().map(|t| p((t.get)(c).p_adjusted)).collect();
        table.rows.push(vec![
            Cell::name(&c.value),
            Cell::name(&c.constitution),
            Cell::number(figure(c.ratio)),
            Cell::number(random.unwrap_or_else(|| NOTHING.to_owned())),
            Cell::number(figure(c.rho2)),
            Cell::number(figure(c.turn.figure)),
            Cell::number(band(&c.turn)),
            Cell::number(figure(c.transfer.figure)),
            Cell::number(figure(c.conditioned.figure)),
            Cell::number(band(&c.conditioned)),
            Cell::number(plain(c.alignment_raw)),
            Cell::number(plain(c.reliability)),
            Cell::plain(adjusted.join(", ")),
        ]);
    }
    table
}

fn moves(finding: &Finding) -> Table {
    let mut table = Table::titled(&[
        "text",
        ">‖Δ_c‖ / ‖h‖ [95 %]",
        ">placebos",
        ">common",
        ">by prompt",
        ">by response [95 %]",
        ">placebos",
        ">tr Cov(h_c − h_0) / tr Cov(h_0)",
    ]);
    let pair = |b: Option<crate::theory::state::placebo::Band>, se: Option<f64>| {
        b.map_or_else(|| NOTHING.to_owned(), |b| format!("[{}, {}]", number(b.lo, se), number(b.hi, se)))
    };
    for Shifted { constitution, placebo, norm, band, shares, response_band } in &finding.shifts {
        let share = |v: Option<f64>| v.map_or_else(|| NOTHING.to_owned(), percent);
        let by_response = shares.and_then(|s| Figure::new(s.response, s.response_se));
        table.rows.push(vec![
            Cell::name(&(constitution.clone() + if *placebo { " (placebo)" } else { "" })),
            Cell::number(norm.map_or_else(|| NOTHING.to_owned(), |n| figure(Some(n)))),
            Cell::number(pair(*band, norm.map(|n| n.se))),
            Cell::number(share(shares.map(|s| s.common))),
            Cell::number(share(shares.map(|s| s.prompt))),
            Cell::number(by_response.map_or_else(|| NOTHING.to_owned(), |f| figure(Some(f)))),
            Cell::number(pair(*response_band, by_response.map(|f| f.se))),
            Cell::number(share(shares.map(|s| s.within))),
        ]);
    }
    table
}

fn notes(finding: &Finding) -> Vec<String> {
    let mut notes = vec![
        "h_0: bare rows; h_c: the same responses under a constitution. Δ_c: mean of h_c less that of placebo texts, read as a \
         direction of scores. Gain: variance of h along v* under c over that of bare rows, over the same ratio of random \
         directions; 1 is nothing. Δρ²: ρ² from h_c less that under placebo texts. “placebos”: where one more placebo text \
         would lie 95 times in 100. A figure counts as beyond them if it is so over texts and over prompts, both adjusted for \
         the number of values, constitutions and figures; the sentence above counts what also holds under length control."
            .to_owned(),
    ];
    for missing in &finding.missing {
        notes.push(match missing {
            Missing::Rows => {
                "Capture the responses under the constitutions and placebo texts as well to measure this."
                    .into()
            }
            Missing::FewRows { constitution } => {
                format!("{constitution} is left out: fewer than 80 % of the responses were read under it.")
            }
            Missing::Placebos => {
                "No placebo text was read: there is nothing to set the figures against.".into()
            }
            Missing::FewPlacebos { texts } => {
                format!(
                    "{} cannot say what placebo texts do: no verdict.",
                    counted(*texts as u64, "placebo text")
                )
            }
            Missing::Logprob => {
                "Not all rows have log-probabilities: generation under a constitution is not compared.".into()
            }
            Missing::Prompts => "The file does not say which rows answer the same prompt.".into(),
            Missing::Unencoded { value } => format!(
                "“{value}” is not encoded in bare rows: there is no v* to set Δ_c and the gain against."
            ),
        });
    }
    notes
}
