//! Map of a run's constitutions by their effect on the state, compared with the map by the judge's choices.

use super::Run;
use crate::document::table::Table;
use crate::theory::reading::quote::{number, p, quotable};
use crate::theory::state::map::{MapAgreement, agreement};
use crate::theory::{Control, Estimate};

/// Agreement of the maps by Δ_c and by v_c, on constitutions with complete angles.
pub(super) fn maps(run: &Run) -> Option<MapAgreement> {
    let map = run.shifts.as_ref()?;
    let cos = |a: &str, b: &str| {
        let is = |e: &&Estimate| {
            let pair = (e.constitution.as_deref(), e.constitution2.as_deref());
            e.control == Control::None && (pair == (Some(a), Some(b)) || pair == (Some(b), Some(a)))
        };
        run.cosines.iter().find(is).filter(|e| quotable(e)).and_then(|e| e.estimate)
    };
    let mut kept: Vec<usize> = (0..map.names.len()).collect();
    // Remove the constitution with the most missing angles until none is missing.
    loop {
        let missing = |&a: &usize| {
            kept.iter().filter(|&&b| b != a && cos(&map.names[a], &map.names[b]).is_none()).count()
        };
        let worst = kept.iter().copied().max_by_key(|a| missing(a))?;
        if missing(&worst) == 0 {
            break;
        }
        kept.retain(|&a| a != worst);
    }
    let by = |of: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        kept.iter().map(|&a| kept.iter().map(|&b| of(a, b)).collect()).collect()
    };
    let judged = by(&|a, b| if a == b { 1.0 } else { cos(&map.names[a], &map.names[b]).unwrap_or_default() });
    agreement(&by(&|a, b| map.cos[a][b]), &judged)
}

/// Sentence on the agreement of the maps.
pub(super) fn sentence(run: &Run) -> Option<String> {
    run.shifts.as_ref()?;
    Some(match &run.maps {
        None => "The map by Δ_c cannot be compared with the map by v_c: that takes five constitutions with angles in both.".to_owned(),
        Some(m) => {
            let figures = format!(
                "{} constitutions: correlation of the cosines {}, p {} of as much when one map is relabelled",
                m.constitutions,
                number(m.correlation, Some(0.01)),
                p(Some(m.p))
            );
            if m.p < 0.05 {
                format!("The map by what constitutions do to the state agrees with the map by what the judge chose ({figures}).")
            } else {
                format!("Nothing says that the map by what constitutions do to the state agrees with the map by what the judge chose ({figures}).")
            }
        }
    })
}

/// cos(Δ_a, Δ_b) of a run's constitutions; columns are numbered like the rows.
pub(super) fn matrix(run: &Run) -> Option<Table> {
    let map = run.shifts.as_ref()?;
    let mut head = vec![String::new(), "constitution".to_owned()];
    head.extend((1..=map.names.len()).map(|n| n.to_string()));
    let row = |(i, name): (usize, &String)| {
        let mut row = vec![(i + 1).to_string(), name.clone()];
        row.extend(
            map.cos[i].iter().enumerate().map(
                |(j, cos)| {
                    if i == j { "1".to_owned() } else { number(*cos, Some(0.1)) }
                },
            ),
        );
        row
    };
    Some(Table::of(head, 2, map.names.iter().enumerate().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Quantity;
    use crate::theory::state::map::ShiftMap;

    /// Five constitutions on a circle, identical in both maps unless turned.
    fn run(angle: impl Fn(usize) -> f64, missing: Option<usize>) -> Run {
        let names: Vec<String> = (0..6).map(|i| format!("c{i}")).collect();
        let cos = |a: f64, b: f64| (a - b).cos();
        let map = (0..6).map(|a| (0..6).map(|b| cos(0.4 * a as f64, 0.4 * b as f64)).collect()).collect();
        let mut cosines = Vec::new();
        for a in 0..6 {
            for b in a + 1..6 {
                let value = cos(angle(a), angle(b));
                let mut e = Estimate::bare(Quantity::ConstitutionCos, "test", value).under(&names[a]);
                e.constitution2 = Some(names[b].clone());
                e.reportable = missing != Some(a) && missing != Some(b);
                cosines.push(e);
            }
        }
        let mut run = Run { shifts: Some(ShiftMap { names, cos: map }), cosines, ..Run::default() };
        run.maps = maps(&run);
        run
    }

    #[test]
    fn maps_are_compared_where_both_have_every_angle_and_the_sentence_follows_p() {
        let same = run(|i| 0.4 * i as f64, None);
        let found = same.maps.clone().expect("six");
        assert!(found.constitutions == 6 && found.correlation > 0.999 && found.p < 0.01, "{found:?}");
        assert!(sentence(&same).is_some_and(|s| s.contains(" agrees with ") && !s.starts_with("Nothing")));
        let five = run(|i| 0.4 * i as f64, Some(2)).maps.expect("five");
        assert_eq!(five.constitutions, 5);
        let other = run(|i| [0.0, 2.0, 0.3, 1.1, 2.6, 0.7][i], None);
        assert!(other.maps.as_ref().is_some_and(|m| m.p > 0.05), "{:?}", other.maps);
        assert!(sentence(&other).is_some_and(|s| s.starts_with("Nothing says")));
        assert_eq!(sentence(&Run::default()), None);
    }
}
