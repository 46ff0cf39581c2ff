//! The plan of a run: the cost of each part and its purpose.

use super::terminal::numbers::{about, compact, duration};
use crate::run::plan::{Part, Step};

/// Width of the columns before the purpose of a part.
const NUMBERS: usize = 80;

/// Prints the plan; `implicit` where a judge reads log P under constitutions.
pub fn show(steps: &[Step], implicit: bool) {
    for line in lines(steps, implicit) {
        println!("{line}");
    }
}

fn lines(steps: &[Step], implicit: bool) -> Vec<String> {
    let mut out = vec![row(["step", "sequences", "tokens", "computed", "time", "disk"], "for")];
    for step in steps {
        let count = |n: usize| if step.sequences > 0 { n.to_string() } else { String::new() };
        let disk = if step.bytes > 0 { compact(step.bytes as f64) + "B" } else { String::new() };
        let cells = [
            &name(step.part),
            &count(step.sequences),
            &count(step.naive_tokens),
            &count(step.packed_tokens),
            &duration(step.seconds),
            &disk,
        ];
        out.push(row(cells.map(String::as_str), purpose(step.part)));
        if let Some(seconds) = step.logprob_seconds {
            out.push(row(
                ["  of it log P", "", "", "", &duration(seconds), ""],
                logprob(step.part, implicit),
            ));
        }
        if step.done > 0 {
            out.push(format!("  {} of the sequences are there already", step.done));
        }
    }
    let total: f64 = steps.iter().map(|s| s.seconds).sum();
    let bytes: u64 = steps.iter().map(|s| s.bytes).sum();
    out.push(format!(
        "{} in all, from short samples on this machine as it is loaded now, and {}B of disk",
        about(total),
        compact(bytes as f64)
    ));
    out.extend(spared(steps, implicit).map(|(flag, what)| format!("  {flag:<24} leaves out {what}")));
    out
}

fn row([step, sequences, tokens, computed, time, disk]: [&str; 6], purpose: &str) -> String {
    let numbers = format!("{step:<24} {sequences:>9} {tokens:>11} {computed:>10} {time:>9} {disk:>9}");
    format!("{numbers:<NUMBERS$}{purpose}").trim_end().to_owned()
}

fn name(part: Part) -> String {
    match part {
        Part::Bare => "capture, bare".into(),
        Part::Under(1) => "capture, under 1 text".into(),
        Part::Under(n) => format!("capture, under {n} texts"),
        Part::Pairs(_) => "judge, pairs".into(),
        Part::Singles(_) => "judge, one by one".into(),
        Part::Fit => "fit".into(),
    }
}

fn purpose(part: Part) -> &'static str {
    match part {
        Part::Bare => "v*, rho2, d_eff, the layer",
        Part::Under(_) => "shift, gain and reading of v* under a text",
        Part::Pairs(true) => "v_c by choices; where the choice is made",
        Part::Pairs(false) => "v_c by choices",
        Part::Singles(true) => "v_c by scores; where the score is made",
        Part::Singles(false) => "v_c by scores",
        Part::Fit => "directions, intervals, report",
    }
}

/// Purpose of computing log P in a part.
fn logprob(part: Part, implicit: bool) -> &'static str {
    match part {
        Part::Under(_) if implicit => "w under a text; v_c by likelihood",
        Part::Under(_) => "w under a text",
        _ if implicit => "w; v_c by likelihood",
        _ => "w",
    }
}

/// Flags that skip parts, with the parts they skip.
fn spared(steps: &[Step], implicit: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let under = steps.iter().find(|step| matches!(step.part, Part::Under(_))).filter(|_| !implicit);
    let states = steps.iter().any(|step| matches!(step.part, Part::Pairs(true) | Part::Singles(true)));
    let flags = [
        under.map(|_| ("--under none, or NAMES", "rows under texts")),
        under.and_then(|u| u.logprob_seconds).map(|_| ("--logprob bare", "log P under texts")),
        states.then_some(("--judge-layers none", "states at the answers")),
    ];
    flags.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(part: Part, logprob_seconds: Option<f64>) -> Step {
        Step {
            part,
            sequences: 318,
            naive_tokens: 35_000,
            packed_tokens: 12_000,
            done: 0,
            seconds: 60.0,
            logprob_seconds,
            bytes: 22_000_000,
        }
    }

    #[test]
    fn each_part_says_what_it_takes_and_what_it_is_for_and_how_it_is_left_out() {
        let steps = [
            step(Part::Bare, Some(9.0)),
            step(Part::Under(19), Some(13.0)),
            step(Part::Pairs(true), None),
            Step { sequences: 0, bytes: 0, ..step(Part::Fit, None) },
        ];
        let text = lines(&steps, false);
        assert!(text.iter().all(|line| line.chars().count() <= 122), "{text:#?}");
        let find = |start: &str| text.iter().position(|l| l.starts_with(start)).expect(start);
        assert!(
            text[find("capture, bare") + 1].contains("9 s")
                && text[find("capture, bare") + 1].ends_with("  w")
        );
        let under = find("capture, under 19 texts");
        assert!(text[under].contains("22.0 MB") && text[under].ends_with("reading of v* under a text"));
        assert!(text[under + 1].contains("13 s") && text[under + 1].ends_with("w under a text"));
        assert!(text[find("judge, pairs")].ends_with("where the choice is made"));
        assert!(text[find("about 4 min in all")].ends_with("and 66.0 MB of disk"));
        for flag in ["  --under none", "  --logprob bare", "  --judge-layers none"] {
            assert!(text[find(flag)].contains(" leaves out "));
        }
    }

    #[test]
    fn what_a_judge_needs_is_not_offered_to_be_left_out() {
        let steps =
            [step(Part::Bare, Some(9.0)), step(Part::Under(2), Some(13.0)), step(Part::Pairs(false), None)];
        let text = lines(&steps, true);
        assert!(text.iter().any(|l| l.ends_with("w under a text; v_c by likelihood")));
        assert!(!text.iter().any(|l| l.contains("leaves out")), "{text:#?}");
        assert!(!lines(&[step(Part::Bare, None)], false).iter().any(|l| l.contains("leaves out")));
    }
}
