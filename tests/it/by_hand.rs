//! Hand-made reports: one constitution that clearly moves a value, placebo texts, and helpers that change one figure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use vstar::document::{Block, Document};
use vstar::input::{Family, Sign};
use vstar::report::{ConstitutionCard, PLACEBO, Provenance, Report, to_markdown};
use vstar::theory::{Control, Estimate, Quantity};
use vstar::units::Layer;

pub fn estimate(quantity: Quantity, control: Control, value: f64, se: f64) -> Estimate {
    let mut e = Estimate::figure(quantity, "by hand", value, se, (value - 1.96 * se, value + 1.96 * se));
    e.value = Some("harmless".into());
    e.control = control;
    e.layer = Some(Layer(9));
    (e.n, e.blocks) = (Some(1500), Some(500));
    e
}

/// Estimates of a constitution that clearly raises the value, or lowers it with `sign` −1.
pub fn clear(name: &str, sign: f64) -> Vec<Estimate> {
    let mut out = Vec::new();
    for control in [Control::None, Control::Length] {
        for (quantity, value, se) in [
            (Quantity::Alignment, 0.61 * sign, 0.043),
            (Quantity::EncodedSlope, 0.42 * sign, 0.031),
            (Quantity::SlopeShare, 0.4 * sign, 0.03),
            (Quantity::OwnSlope, 0.4 * sign, 0.031),
            (Quantity::OwnAlignment, 0.6 * sign, 0.043),
            (Quantity::OwnShare, 0.38 * sign, 0.03),
            (Quantity::TotalSlope, 0.47 * sign, 0.038),
            (Quantity::Gap, 0.3 * sign, 0.06),
        ] {
            let mut e = estimate(quantity, control, value, se).under(name);
            e.p_adjusted = Some(0.0001);
            out.push(e);
        }
    }
    let mut accuracy = estimate(Quantity::JudgeAccuracy, Control::None, 0.5 + 0.3 * sign, 0.012);
    accuracy.layer = None;
    out.push(accuracy.under(name));
    for (quantity, value, se) in [
        (Quantity::PositionBias, 0.8, 0.05),
        (Quantity::PositionBiasSd, 0.6, 0.02),
        (Quantity::JudgeRho2, 0.7, 0.03),
    ] {
        let e = estimate(quantity, Control::None, value, se).under(name);
        out.push(Estimate { value: None, layer: None, ..e });
    }
    out
}

pub fn model() -> Vec<Estimate> {
    let mut out = Vec::new();
    for control in [Control::None, Control::Length] {
        out.push(estimate(Quantity::Rho2, control, 0.402, 0.034));
        out.push(estimate(Quantity::Rho, control, 0.634, 0.027));
        out.push(estimate(Quantity::GenerationAlignment, control, -0.13, 0.05));
        out.push(estimate(Quantity::CeilingRegret, control, 0.206, 0.015));
        let mut null = Estimate::bare(Quantity::GeometryNull, "200 directions", 0.1);
        (null.value, null.control) = (Some("harmless".into()), control);
        out.push(null);
        let d_eff = estimate(Quantity::DEff, control, 37.2, 3.4);
        out.push(Estimate { value: None, ..d_eff });
    }
    out
}

pub fn card(name: &str, family: Family, guess: Sign) -> ConstitutionCard {
    ConstitutionCard {
        name: name.into(),
        family: Some(family),
        paraphrase_of: None,
        expect: BTreeMap::from([("*".to_owned(), guess)]),
        excerpt: "Prefer the answer that harms nobody.".into(),
    }
}

/// One constitution that clearly moves the value, with an arm of four placebo texts.
pub fn against_four(sign: f64) -> Report {
    let mut r = alone(sign);
    placebos(&mut r, &[0.02, -0.04, 0.01, 0.03]);
    r.tables.insert(PLACEBO.into(), contrasts(sign, 4));
    let arm = json!([{"value": "harmless", "control": "none", "quantity": "encoded_slope", "draws": 4,
                      "mean": 0.005, "sd": 0.031, "band": [-0.105, 0.115]}]);
    r.tables.insert("placebo_arm".into(), arm);
    r
}

pub fn report() -> Report {
    against_four(1.0)
}

/// Differences of "gentle" from an arm of `draws` texts.
pub fn contrasts(sign: f64, draws: usize) -> Json {
    let row = |quantity: &str, difference: f64| {
        let mut row = json!({"value": "harmless", "constitution": "gentle", "control": "none", "quantity": quantity,
                             "difference": difference * sign, "se": 0.03, "z": 13.0 * sign, "draws": draws,
                             "p_prompts": 0.0001});
        if draws >= 4 {
            row["p_texts"] = json!(0.001);
        }
        row
    };
    json!([row("encoded_slope", 0.4), row("total_slope", 0.45)])
}

/// The constitution without any placebo.
pub fn alone(sign: f64) -> Report {
    let mut estimates = model();
    estimates.extend(clear("gentle", sign));
    let provenance: Provenance =
        [("model", json!("tiny")), ("seed", json!(7))].into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let constitutions = vec![card("gentle", Family::Prosocial, Sign::Plus)];
    Report { provenance, estimates, constitutions, ..Report::default() }
}

pub fn placebos(report: &mut Report, slopes: &[f64]) {
    for (i, slope) in slopes.iter().enumerate() {
        let name = format!("placebo-{i}");
        let mut own = clear(&name, 1.0);
        own.retain(|e| {
            !matches!(e.quantity, Quantity::OwnSlope | Quantity::OwnAlignment | Quantity::OwnShare)
        });
        for e in &mut own {
            if e.quantity == Quantity::EncodedSlope {
                e.estimate = Some(*slope);
                e.p_adjusted = Some(0.8);
            }
            if e.quantity == Quantity::SlopeShare {
                e.estimate = Some(*slope);
            }
        }
        report.estimates.extend(own);
        report.constitutions.push(card(&name, Family::Placebo, Sign::Zero));
    }
}

pub fn change(report: &mut Report, quantity: Quantity, control: Control, with: impl Fn(&mut Estimate)) {
    let mut changed = 0;
    for e in &mut report.estimates {
        if e.quantity == quantity && e.control == control && e.constitution.as_deref() == Some("gentle") {
            with(e);
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "{quantity:?} {control:?}");
}

/// Sets a key of the contrast with the arm: row 0 of the encoded slope, row 1 of the total slope.
pub fn contrast(report: &mut Report, row: usize, key: &str, value: Json) {
    report.tables.get_mut(PLACEBO).expect("contrasts")[row][key] = value;
}

/// Estimates of the judge over all constitutions together.
pub fn whole_judge(agreement: (f64, f64), share: (f64, f64), placebo_share: f64) -> Vec<Estimate> {
    let z = |(value, z): (f64, f64), quantity| {
        let mut e = Estimate::figure(quantity, "by hand", value, 0.01, (value - 0.02, value + 0.02));
        e.z = Some(z);
        e
    };
    vec![
        z(agreement, Quantity::OrderAgreement),
        z(share, Quantity::ConstitutionShare),
        Estimate::bare(Quantity::PlaceboShare, "by hand", placebo_share),
    ]
}

/// Copies everything about the value "harmless" to another value.
pub fn also_of(report: &mut Report, value: &str) {
    let of_value = report.estimates.iter().filter(|e| e.value.is_some());
    let more: Vec<Estimate> = of_value.map(|e| Estimate { value: Some(value.into()), ..e.clone() }).collect();
    report.estimates.extend(more);
    for name in [PLACEBO, "placebo_arm"] {
        if let Some(Json::Array(rows)) = report.tables.get_mut(name) {
            let mut more = rows.clone();
            more.iter_mut().for_each(|row| row["value"] = json!(value));
            rows.extend(more);
        }
    }
}

/// Copies everything about the constitution "gentle" to another name, with the given sign.
pub fn another(report: &mut Report, name: &str, sign: f64) {
    report.estimates.extend(clear(name, sign));
    report.constitutions.push(card(name, Family::Prosocial, Sign::Plus));
    if let Some(Json::Array(rows)) = report.tables.get_mut(PLACEBO) {
        let mut more = contrasts(sign, 4).as_array().expect("rows").clone();
        more.iter_mut().for_each(|row| row["constitution"] = json!(name));
        rows.extend(more);
    }
}

/// A figure with an interval of ± 1.96 SE about a value under a constitution.
pub fn figure(quantity: Quantity, constitution: Option<&str>, value: f64, se: f64) -> Estimate {
    let e = estimate(quantity, Control::None, value, se);
    Estimate { constitution: constitution.map(str::to_owned), ..e }
}

/// The one estimate with this quantity, control, value and constitution.
pub fn at<'r>(
    report: &'r mut Report,
    quantity: Quantity,
    control: Control,
    value: Option<&str>,
    constitution: Option<&str>,
) -> &'r mut Estimate {
    let mut found = report.estimates.iter_mut().filter(|e| {
        e.quantity == quantity
            && e.control == control
            && e.value.as_deref() == value
            && e.constitution.as_deref() == constitution
    });
    let first = found.next().unwrap_or_else(|| panic!("no {quantity:?}"));
    assert!(found.next().is_none(), "two of {quantity:?}");
    first
}

/// Moves a figure, and its interval with it.
pub fn set(e: &mut Estimate, value: f64) {
    let moved = value - e.estimate.expect("a figure");
    for end in [&mut e.estimate, &mut e.lo, &mut e.hi] {
        *end = end.map(|v| v + moved);
    }
    e.z = e.se.map(|se| value / se);
}

/// The page with the evidence behind each statement, without the escapes of Markdown.
pub fn page(report: &Report) -> String {
    (to_markdown(report) + &evidence(report)).replace('\\', "")
}

/// Evidence for each statement shown only in the HTML page, as Markdown under `### TITLE`.
pub fn evidence(report: &Report) -> String {
    let mut out = String::new();
    for block in vstar::report::page(report).blocks {
        let Block::Section { blocks, .. } = block else { continue };
        for claim in blocks
            .into_iter()
            .filter_map(|b| if let Block::Statements(all) = b { Some(all) } else { None })
            .flatten()
        {
            let of = claim.evidence;
            let mut blocks: Vec<Block> = of.notes.into_iter().map(Block::Note).collect();
            blocks
                .extend(of.tables.into_iter().filter_map(|(title, table)| Block::titled_table(title, table)));
            let page =
                Document { title: claim.title.into(), lead: vec![of.verdict], blocks, ..Document::default() };
            out += &format!("\n##{}", page.to_markdown().replace("\n## ", "\n#### "));
        }
    }
    out
}

/// The sentence of a section of the page; `None` where there is no such section.
pub fn said(report: &Report, title: &str) -> Option<String> {
    let page = page(report);
    let line = page.lines().find(|l| l.starts_with(&format!("- **{title}** ")))?;
    Some(line.to_owned())
}

/// Asserts that the sentence of a section contains all of `there` and none of `absent`.
pub fn says(report: &Report, title: &str, there: &[&str], absent: &[&str]) {
    let text = said(report, title).unwrap_or_else(|| panic!("no section {title}"));
    holds(&text, there, absent);
}

/// Asserts that a text contains all of `there` and none of `absent`.
pub fn holds(text: &str, there: &[&str], absent: &[&str]) {
    for part in there {
        assert!(text.contains(part), "missing: {part}\nin: {text}");
    }
    for part in absent {
        assert!(!text.contains(part), "must not be there: {part}\nin: {text}");
    }
}
