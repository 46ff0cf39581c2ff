//! Checks before anything is computed that the data suffice for the end of a run: the requested values, and enough
//! prompts for an estimate.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::FitSettings;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::name::nearest;
use crate::input::{Clusters, Items};

/// Minimum number of prompts (near-copies counted once) on which a value must differ for a run to be worth starting.
/// Their number determines the precision of an estimate, and half of them may be used to choose the layer.
pub const FEWEST: usize = 8;

/// Minimum number of prompts in the report for meaningful intervals.
pub const ENOUGH: usize = 30;

/// Counts of a value's labels in the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelCount {
    /// Number of responses with a label or in a preference.
    pub responses: usize,
    /// Number of blocks (prompts, near-copies combined) that have two responses with different labels, or a preference.
    pub blocks: usize,
    /// Location of the value's first occurrence.
    pub first: Place,
}

/// Counts the labels of each value in the items; `reads` tells whether a response (item, index) can be read at all.
pub fn held(
    items: &Items,
    clusters: &Clusters,
    reads: &dyn Fn(usize, usize) -> bool,
) -> BTreeMap<String, LabelCount> {
    let mut out: BTreeMap<String, LabelCount> = BTreeMap::new();
    // Labels of the responses to each prompt, over the items that share it.
    let mut labels: BTreeMap<(&str, i32), (f64, i32)> = BTreeMap::new();
    let mut blocks: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    let prompts = items.prompt_numbers();
    for (i, item) in items.items.iter().enumerate() {
        let block = clusters.of_item[i];
        let mut count = |value: &str, n: usize| {
            let held = out
                .entry(value.to_owned())
                .or_insert_with(|| LabelCount { first: item.place.clone(), ..LabelCount::default() });
            held.responses += n;
        };
        for (_, response) in item.responses.iter().enumerate().filter(|(r, _)| reads(i, *r)) {
            for (value, label) in &response.values {
                count(value, 1);
                let (first, of) = *labels.entry((value, prompts[i])).or_insert((*label, block));
                if first != *label {
                    blocks.entry(value).or_default().insert(of);
                }
            }
        }
        for p in item.preferences.iter().filter(|p| reads(i, p.better) && reads(i, p.worse)) {
            count(&p.value, 2);
            blocks.entry(&p.value).or_default().insert(block);
        }
    }
    for (value, own) in blocks {
        if let Some(held) = out.get_mut(value) {
            held.blocks = own.len();
        }
    }
    out
}

/// Refuses a fit that these data cannot support, and returns warnings to show before it starts. `halved`: half of the
/// prompts are used to choose the layer.
///
/// # Errors
/// [`Kind::NotEstimable`] for data without values, values or weights that do not occur in the data, and fewer than
/// [`FEWEST`] prompts for every requested value.
pub fn check(
    fit: &FitSettings,
    held: &BTreeMap<String, LabelCount>,
    notes: &[String],
    halved: bool,
) -> Result<Vec<String>> {
    if held.is_empty() {
        let mut diagnostic = Diagnostic::new(
            Kind::NotEstimable,
            "the data name no value: there is nothing to estimate",
        )
        .expected("labels (`values` of a response) or preferences")
        .remedy(
            "label responses, or give data that say which response is better; `vstar capture` needs neither",
        );
        if !notes.is_empty() {
            diagnostic = diagnostic.found(notes.join("; "));
        }
        return Err(diagnostic.into());
    }
    let names = || held.keys().map(String::as_str);
    for (key, name) in
        fit.values.iter().map(|v| ("values", v)).chain(fit.weights.keys().map(|w| ("weights", w)))
    {
        if !held.contains_key(name) {
            let mut diagnostic = Diagnostic::new(
                Kind::NotEstimable,
                format!("`fit.{key}` names `{name}`, which the data do not label"),
            )
            .expected(format!("one of {}", names().collect::<Vec<_>>().join(", ")));
            if let Some(near) = nearest(name, names()) {
                diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
            }
            return Err(diagnostic.into());
        }
    }
    let wanted: BTreeMap<&String, &LabelCount> =
        held.iter().filter(|(name, _)| fit.values.is_empty() || fit.values.contains(name)).collect();
    let most = wanted.values().map(|h| h.blocks).max().unwrap_or(0);
    let counts: Vec<String> = wanted.iter().map(|(name, h)| format!("{name}: {}", h.blocks)).collect();
    let enough = if halved { 2 * ENOUGH } else { ENOUGH };
    if most < FEWEST {
        return Err(Diagnostic::new(Kind::NotEstimable, "too few prompts to estimate anything")
            .expected(format!(
                "at least {FEWEST} prompts that have responses with different labels of a value (near-copies \
                 count once), and about {enough} for intervals worth reading"
            ))
            .found(counts.join(", "))
            .remedy("give more items, or a larger limit; `vstar simulate` shows the precision of a design")
            .into());
    }
    let mut out = Vec::new();
    let few: Vec<String> = wanted
        .iter()
        .filter(|(_, h)| h.blocks < enough)
        .map(|(name, h)| format!("{name} {}", h.blocks))
        .collect();
    if !few.is_empty() {
        out.push(format!(
            "few prompts, so intervals will be wide: {} with different labels{}; about {enough} are needed",
            few.join(", "),
            if halved { ", and each half of them chooses the layer for the other" } else { "" },
        ));
    }
    out.extend(near_equal(held));
    Ok(out)
}

/// Names that are probably two spellings of one name, with the counts and the first location of the rarer.
fn near_equal(held: &BTreeMap<String, LabelCount>) -> Vec<String> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', '.'], "");
    let mut out = Vec::new();
    for (i, (a, one)) in held.iter().enumerate() {
        for (b, other) in held.iter().skip(i + 1) {
            let ((rare, few), (common, many)) = if one.responses <= other.responses {
                ((a, one), (b, other))
            } else {
                ((b, other), (a, one))
            };
            let same = plain(a) == plain(b);
            let digits = |s: &str| s.chars().filter(char::is_ascii_digit).collect::<String>();
            let near = strsim::damerau_levenshtein(&plain(a), &plain(b)) <= 1 + plain(common).len() / 8
                && digits(a) == digits(b)
                && 4 * few.responses <= many.responses;
            if same || near {
                out.push(format!(
                    "`{rare}` ({} responses, first at {}) beside `{common}` ({}): one value spelt twice?",
                    few.responses, few.first, many.responses
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{ReadOptions, cluster, read_items};

    fn items(rows: &str) -> Items {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("items.jsonl");
        std::fs::write(&path, rows).expect("a file");
        read_items(&[path], &ReadOptions::default()).expect("items")
    }

    fn row(i: usize, value: &str, labels: [f64; 2]) -> String {
        let words = ["tea", "rain", "music", "bread", "books", "paint", "boats", "trees", "clouds", "stone"];
        format!(
            "{{\"id\": \"p{i}\", \"prompt\": \"{} {i} {}\", \"responses\": [\
             {{\"text\": \"a\", \"values\": {{\"{value}\": {}}}}}, {{\"text\": \"b\", \"values\": {{\"{value}\": {}}}}}]}}\n",
            words[i % 10],
            words[(i * 7 + 3) % 10],
            labels[0],
            labels[1]
        )
    }

    fn of(rows: &str) -> BTreeMap<String, LabelCount> {
        let items = items(rows);
        held(&items, &cluster(&items), &|_, _| true)
    }

    #[test]
    fn prompts_count_where_labels_differ_and_copies_count_once() {
        let mut rows: String = (0..9).map(|i| row(i, "kind", [0.0, 1.0])).collect();
        rows += &row(9, "kind", [1.0, 1.0]);
        rows += &row(0, "kind", [0.0, 1.0]).replace("\"p0\"", "\"copy\"");
        let held = of(&rows);
        assert_eq!((held["kind"].responses, held["kind"].blocks), (22, 9));
        // Two items of one prompt: their labels differ between the items.
        let one = |id: &str, label: f64| {
            format!(
                "{{\"id\": \"{id}\", \"prompt\": \"x\", \"responses\": [{{\"text\": \"{id}\", \"values\": {{\"v\": {label}}}}}]}}\n"
            )
        };
        assert_eq!(of(&(one("a", 0.0) + &one("b", 1.0)))["v"].blocks, 1);
        assert_eq!(of(&(one("a", 1.0) + &one("b", 1.0)))["v"].blocks, 0);
        let pair = "{\"prompt\": \"x\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";
        assert_eq!(of(pair).values().map(|h| h.blocks).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn too_few_prompts_are_refused_with_how_many_it_takes_and_few_are_warned_about() {
        let fit = FitSettings::default();
        let of = |n: usize| of(&(0..n).map(|i| row(i, "kind", [0.0, 1.0])).collect::<String>());
        let refused = check(&fit, &of(7), &[], true).expect_err("refused").to_string();
        assert!(
            refused.contains("at least 8") && refused.contains("kind: 7") && refused.contains("about 60"),
            "{refused}"
        );
        let warned = check(&fit, &of(8), &[], true).expect("enough to begin");
        assert!(
            warned.len() == 1 && warned[0].contains("kind 8") && warned[0].contains("about 60"),
            "{warned:?}"
        );
        assert!(check(&fit, &of(8), &[], false).expect("enough")[0].contains("about 30"));
        assert!(check(&fit, &of(30), &[], false).expect("enough").is_empty());
    }

    #[test]
    fn values_that_the_data_do_not_label_are_refused_with_the_nearest() {
        let data = of(&(0..30).map(|i| row(i, "harmless", [0.0, 1.0])).collect::<String>());
        let fit = FitSettings { values: vec!["harmles".into()], ..FitSettings::default() };
        let refused = check(&fit, &data, &[], false).expect_err("refused").to_string();
        assert!(refused.contains("did you mean `harmless`?") && refused.contains("fit.values"), "{refused}");
        let fit = FitSettings { weights: [("honest".to_owned(), 2.0)].into(), ..FitSettings::default() };
        assert!(check(&fit, &data, &[], false).expect_err("refused").to_string().contains("fit.weights"));
        let notes = ["2 rows with the unknown key `labels` in a response; did you mean `values`?".to_owned()];
        let refused = check(&FitSettings::default(), &BTreeMap::new(), &notes, false).expect_err("refused");
        assert!(refused.to_string().contains("did you mean `values`?"), "{refused}");
    }

    #[test]
    fn a_name_spelt_twice_is_asked_about_and_different_names_are_not() {
        let mut rows: String = (0..20).map(|i| row(i, "harmless", [0.0, 1.0])).collect();
        rows += &row(20, "harmles", [0.0, 1.0]);
        rows += &row(21, "Harm-less", [0.0, 1.0]);
        for (i, other) in ["helpful", "honest", "harmful"].iter().enumerate() {
            rows += &row(30 + i, other, [0.0, 1.0]);
        }
        rows += &(0..20).map(|i| row(100 + i, "v1", [0.0, 1.0])).collect::<String>();
        rows += &row(200, "v2", [0.0, 1.0]);
        let warned = near_equal(&of(&rows));
        assert!(
            warned.iter().any(|w| w.contains("`harmles` (2 responses, first at")
                && w.contains("items.jsonl:21")
                && w.contains("beside `harmless` (40)")),
            "{warned:?}"
        );
        assert!(warned.iter().any(|w| w.contains("`Harm-less`")), "{warned:?}");
        assert!(
            !warned.iter().any(|w| w.contains("helpful")
                || w.contains("honest")
                || w.contains("harmful")
                || w.contains("v1")),
            "{warned:?}"
        );
    }
}
