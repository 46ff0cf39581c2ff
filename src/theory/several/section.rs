//! Section: which constitutions raise all values, which trade one for another, and whether any direction could raise
//! all.

use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::plane::{Mark, Plane};
use crate::document::plot::Figure;
use crate::document::table::{Cell, Table};
use crate::theory::base::angle::GATE;
use crate::theory::base::estimate::{Control, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::Z95;
use crate::theory::reading::quote::{NOTHING, counted, detail, number, p, quotable, with_interval};
use crate::theory::several::{CONE, TABLE};

/// Maximum number of planes drawn.
const PLANES: usize = 3;

/// Trade-offs, the cone, the best direction.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let all = index.rows(TABLE)?;
    let under = |control: &str| all.iter().filter(|r| r["control"] == control).collect::<Vec<&Json>>();
    let (rows, length) = (under("none"), under("length"));
    let own: Vec<&Json> = rows.iter().copied().filter(|r| r["placebo"] != true).collect();
    if own.is_empty() {
        return None;
    }
    // An effect explained by length alone is not attributed to the constitution.
    let held = |row: &Json| {
        let same = |l: &&Json| l["constitution"] == row["constitution"];
        length.is_empty() || length.iter().find(|l| same(l)).is_some_and(|l| l["profile"] == row["profile"])
    };
    let of = |profile: &str| {
        let own = own.iter().filter(|r| r["profile"] == profile && held(r));
        own.filter_map(|r| r["constitution"].as_str()).collect::<Vec<_>>()
    };
    let (up, down, trade) = (of("improves_all"), of("lowers_all"), of("trade_off"));
    let named =
        |names: &[&str]| if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let cone = index.get(Quantity::ValueCone, None, None, Control::None);
    let possible = match cone.filter(|e| quotable(e)) {
        Some(e) if e.lo.is_some_and(|lo| lo > 0.0) => "some direction raises every value",
        Some(_) => "that any direction raises every value cannot be told",
        None => "whether any direction raises every value is not identifiable",
    };
    let itself = match own.iter().all(|r| r["own"] == true) {
        true => "",
        false => " For want of four placebo texts, what the judge does by itself is in these slopes.",
    };
    let verdict = format!(
        "Of {}, every value rises under {}{}, every value falls under {}{}, and one rises while another falls under {}{}; {possible}.{itself}",
        counted(own.len() as u64, "constitution"),
        up.len(),
        named(&up),
        down.len(),
        named(&down),
        trade.len(),
        named(&trade)
    );
    let values: Vec<&str> = rows[0]["parts"].as_array()?.iter().filter_map(|p| p["value"].as_str()).collect();
    let mut table = Table::titled(&[
        "constitution",
        "value",
        ">slope / σ_S [95 %]",
        ">z",
        ">p, false discovery",
        "all values",
        ">share of the best direction [95 %]",
    ]);
    for row in &rows {
        let name = row["constitution"].as_str().unwrap_or_default();
        let known = index.constitutions.iter().find(|c| c.name == name);
        let share =
            known.and_then(|c| index.get(Quantity::WeightedAlignment, None, Some(c.name), Control::None));
        for (i, part) in row["parts"].as_array().into_iter().flatten().enumerate() {
            let (slope, se) =
                (part["slope"].as_f64().unwrap_or(f64::NAN), part["se"].as_f64().unwrap_or(f64::NAN));
            let first = i == 0;
            table.rows.push(vec![
                Cell::name(if first { name } else { "" }),
                Cell::name(part["value"].as_str().unwrap_or_default()),
                Cell::number(interval(slope, se)),
                Cell::number(number(slope / se, Some(1.0))),
                Cell::number(p(part["q"].as_f64())),
                Cell::plain(if first { words(&row["profile"]) } else { "" }),
                Cell::number(match share {
                    Some(e) if first => detail(e),
                    _ => String::new(),
                }),
            ]);
        }
    }
    let mut notes = vec![
        "Each value over its within-prompt standard deviation σ_S; slopes are beyond the placebo arm where it has four \
         independent texts. A rise or a fall counts if its p, adjusted for the false discovery rate over all constitutions and \
         values, is below .05 (this section explores); a constitution trades if one value rises and another falls. The sentence above counts what is the \
         same under length control. Share of the best direction: cos(v_c, V*α) with equal weights \
         (or those given), the part of the largest first-order gain in the mean of all values at the same divergence."
            .to_owned(),
        "Left of its gain: the largest first-order gain in the value at a given divergence under the constraint that no other value \
         falls, over the largest without it. Lowers no other: no other value's z is below −1.645; to be named, its own rise must \
         count."
            .to_owned(),
    ];
    if let Some(e) = cone {
        let alpha: Vec<String> = index
            .rows(CONE)
            .into_iter()
            .flatten()
            .filter_map(|pair| {
                Some(format!("{} {}", pair[0].as_str()?, number(pair[1].as_f64()?, Some(0.1))))
            })
            .collect();
        notes.push(format!(
            "Shortest convex combination of the value directions: squared length {} at weights {}. Were it 0, no direction could \
             raise every value.",
            with_interval(e),
            if alpha.is_empty() { NOTHING.to_owned() } else { alpha.join(", ") }
        ));
    }
    let constrained = constrained(&rows, &values, index);
    let pairs = (0..values.len()).flat_map(|i| (i + 1..values.len()).map(move |j| (i, j)));
    let figures = pairs.take(PLANES).filter_map(|(i, j)| plane(&rows, &values, i, j)).collect();
    Some(Evidence {
        verdict,
        notes,
        tables: vec![
            ("What each constitution does to each value".into(), table),
            ("One value, if no other may fall".into(), constrained),
        ],
        figures,
    })
}

/// Share of each value's best gain that remains under the constraints, and the constitution that raises it most
/// without lowering another.
fn constrained(rows: &[&Json], values: &[&str], index: &Index<'_>) -> Table {
    let mut table = Table::titled(&[
        "value",
        ">left of its gain [95 %]",
        "best that lowers no other",
        ">slope / σ_S [95 %]",
    ]);
    for (i, &value) in values.iter().enumerate() {
        let share = index
            .values
            .iter()
            .find(|v| **v == value)
            .and_then(|v| index.get(Quantity::ConstrainedShare, Some(v), None, Control::None));
        let z = |part: &Json| part["slope"].as_f64().zip(part["se"].as_f64()).map(|(s, se)| s / se);
        let best = rows
            .iter()
            .filter(|row| row["placebo"] != true)
            .filter_map(|row| {
                let parts = row["parts"].as_array()?;
                let harmless =
                    parts.iter().enumerate().all(|(j, p)| j == i || z(p).is_some_and(|z| z > -GATE));
                let own = &parts[i];
                let rises = z(own)? > 0.0 && own["q"].as_f64().unwrap_or(1.0) < 0.05;
                (harmless && rises).then_some((row["constitution"].as_str()?, own))
            })
            .max_by(|a, b| {
                a.1["slope"].as_f64().unwrap_or(0.0).total_cmp(&b.1["slope"].as_f64().unwrap_or(0.0))
            });
        let figure = best.and_then(|(_, p)| p["slope"].as_f64().zip(p["se"].as_f64()));
        table.rows.push(vec![
            Cell::name(value),
            Cell::number(share.map_or_else(|| NOTHING.to_owned(), detail)),
            best.map_or_else(|| Cell::plain("none"), |(name, _)| Cell::name(name)),
            Cell::number(figure.map_or_else(|| NOTHING.to_owned(), |(slope, se)| interval(slope, se))),
        ]);
    }
    table
}

fn interval(slope: f64, se: f64) -> String {
    format!(
        "{} [{}, {}]",
        number(slope, Some(se)),
        number(slope - Z95 * se, Some(se)),
        number(slope + Z95 * se, Some(se))
    )
}

fn words(profile: &Json) -> &'static str {
    match profile.as_str() {
        Some("improves_all") => "raises all",
        Some("lowers_all") => "lowers all",
        Some("trade_off") => "trade-off",
        _ => "undecided",
    }
}

fn plane(rows: &[&Json], values: &[&str], i: usize, j: usize) -> Option<Figure> {
    let marks: Vec<Mark> = rows
        .iter()
        .filter_map(|row| {
            let at = |k: usize| {
                let part = row["parts"].get(k)?;
                let (slope, se) = (part["slope"].as_f64()?, part["se"].as_f64()?);
                Some((slope, slope - Z95 * se, slope + Z95 * se))
            };
            let class = match (row["placebo"] == true, row["profile"].as_str()) {
                (true, _) => "placebo",
                (_, Some("improves_all")) => "up",
                (_, Some("lowers_all")) => "down",
                _ => "none",
            };
            Some(Mark { name: row["constitution"].as_str()?.to_owned(), class, x: at(i)?, y: at(j)? })
        })
        .collect();
    let label = format!("Constitutions by what they do to {} and to {}", values[i], values[j]);
    let (x, y) = (format!("{}, slope / σ_S", values[i]), format!("{}, slope / σ_S", values[j]));
    Some(Figure {
        title: format!("“{}” against “{}”", values[i], values[j]),
        caption: "First-order gains with 95 % intervals; where the shade is, both rise.".into(),
        keys: vec![
            ("u", "raises every value"),
            ("d", "lowers every value"),
            ("o", "neither"),
            ("p", "placebo"),
        ],
        svg: Plane { label: &label, axes: (&x, &y), marks }.draw()?,
    })
}
