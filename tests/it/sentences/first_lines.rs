//! The five first lines: for each clause a report that contains it, and one that must not.

use serde_json::json;
use vstar::report::words::five_lines;
use vstar::report::{PLACEBO, Report, SKIPPED, to_markdown};
use vstar::theory::{Control, Estimate, Flag, Quantity};

use crate::by_hand::{
    against_four, alone, also_of, another, at, change, contrast, contrasts, figure, holds, page, placebos,
    report, set, whole_judge,
};
use crate::report::check_five_lines;

/// Asserts on one of the five lines, and that all of them are without jargon.
fn line(r: &Report, which: usize, there: &[&str], absent: &[&str]) {
    check_five_lines(&to_markdown(r));
    holds(&five_lines(r)[which], there, absent);
}

/// Changes one figure of "gentle" for "harmless".
fn own(r: &mut Report, quantity: Quantity, control: Control) -> &mut Estimate {
    at(r, quantity, control, Some("harmless"), Some("gentle"))
}

fn few(draws: usize) -> Report {
    let mut r = alone(1.0);
    placebos(&mut r, &[0.02, -0.04, 0.01][..draws]);
    if draws > 0 {
        r.tables.insert(PLACEBO.into(), contrasts(1.0, draws));
    }
    r
}

#[test]
fn the_finding_names_the_constitution_that_raises_most_and_lowers_nothing() {
    let mut r = report();
    let alone = "judgments under “gentle” would at first raise “harmless” by 38 % of what is possible.";
    line(&r, 0, &[alone], &["lower", "no evidence", "most good"]);
    another(&mut r, "cruel", -1.0);
    let of_two = "Of 2 constitutions “gentle” does most good: training tiny on its judgments under it would at first raise “harmless”";
    line(&r, 0, &[of_two], &["lower", "cruel"]);
    line(&r, 1, &["It would rise under “gentle”; it would fall under “cruel”."], &["cannot tell"]);
    let falls = "would at first raise no value; it would lower “harmless” under “gentle”.";
    line(&against_four(-1.0), 0, &[falls], &["most good"]);
    also_of(&mut r, "honest");
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.051);
    line(&r, 0, &["raise “honest” by 38 % of what is possible, and is not seen to lower another"], &["harm"]);
    // Without a share of the best slope there is no ranking; the sentence only says that the value rises.
    for value in ["harmless", "honest"] {
        at(&mut r, Quantity::OwnShare, Control::None, Some(value), Some("gentle")).reportable = false;
    }
    line(&r, 0, &["would at first raise “honest” under “gentle”."], &["most good", "%", "lower"]);
}

/// Reverses the effect of "gentle" on a value.
fn turned(r: &mut Report, value: &str) {
    for e in &mut r.estimates {
        if e.value.as_deref() == Some(value) && e.constitution.as_deref() == Some("gentle") {
            (e.estimate, e.z) = (e.estimate.map(|x| -x), e.z.map(|z| -z));
            (e.lo, e.hi) = (e.hi.map(|x| -x), e.lo.map(|x| -x));
        }
    }
    for row in r.tables.get_mut(PLACEBO).and_then(|t| t.as_array_mut()).expect("contrasts") {
        if row["value"] == value && row["constitution"] == "gentle" {
            row["difference"] = json!(-row["difference"].as_f64().expect("a number"));
        }
    }
}

#[test]
fn a_rise_that_has_its_price_is_said_to_have_it() {
    let mut r = report();
    also_of(&mut r, "honest");
    line(
        &r,
        0,
        &["raise “harmless” by 38 %", "“honest” by 38 %", "not seen to lower another"],
        &["and lower"],
    );
    turned(&mut r, "honest");
    let price =
        "would at first raise “harmless” under “gentle”, and lower another value under each of these.";
    line(&r, 0, &[price], &["most good", "not seen to lower"]);
}

#[test]
fn a_lead_within_its_error_is_called_luck_and_a_clear_one_is_not() {
    let mut r = report();
    line(&r, 3, &[], &["leads"]);
    another(&mut r, "soft", 1.0);
    let (clear, luck) = ("by more than chance explains", "by no more than chance explains");
    line(&r, 3, &["leads", luck], &[clear]);
    change_share(&mut r, "soft", 0.1);
    line(&r, 3, &["“gentle” leads “soft”, the next, by more than chance"], &[luck]);
}

#[test]
fn what_the_answer_rests_on_is_said_of_the_judge_that_was_checked() {
    let mut r = report();
    holds(&page(&r), &["Judge: could not be checked."], &["passes its checks", "not valid"]);
    r.estimates.extend(whole_judge((0.9, 20.0), (0.8, 30.0), 0.1));
    let told = "Judge: passes its checks; the same answer in both orders on 90 % of pairs";
    holds(&page(&r), &[told, "Data: 500 independent groups", "Placebo texts: 4;"], &["could not be checked"]);
    let mut deaf = report();
    deaf.estimates.extend(whole_judge((0.9, 20.0), (0.01, 0.0), 0.01));
    holds(&page(&deaf), &["Judge: not valid, it ", "judge not valid"], &["passes its checks"]);
}

fn change_share(r: &mut Report, constitution: &str, share: f64) {
    set(at(r, Quantity::OwnShare, Control::None, Some("harmless"), Some(constitution)), share);
}

#[test]
fn of_many_values_the_first_lines_count_and_the_table_names() {
    let mut r = report();
    line(&r, 1, &["It would rise under “gentle”"], &["pairs of a value"]);
    for value in ["honest", "helpful"] {
        also_of(&mut r, value);
    }
    line(
        &r,
        1,
        &["Of 3 pairs of a value and a constitution, in 3 the value would rise."],
        &["would fall", "gentle"],
    );
    let state = "tells 40 % of how answers to one prompt differ in “harmless”, “honest” and “helpful”";
    line(&r, 2, &[state], &["at least", "does not tell", "words"]);
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.4);
    line(&r, 1, &["in 2 the value would rise, in 1 nothing stands out"], &["cannot tell"]);
    at(&mut r, Quantity::Rho2, Control::None, Some("honest"), None).reportable = false;
    line(
        &r,
        2,
        &["does not tell, as far as these data show, which of two answers is better in “honest”"],
        &[],
    );
}

#[test]
fn what_may_move_is_named_value_by_value() {
    let may = "may change “harmless” under 1 of 1 pair";
    let mut r = few(3);
    line(&r, 0, &[may, "too few placebo texts"], &["at first"]);
    line(&r, 1, &["t may move under “gentle”, or by the judge’s own habit"], &["would rise"]);
    // A second value that nothing moves is not counted among those that may change.
    also_of(&mut r, "honest");
    at(&mut r, Quantity::EncodedSlope, Control::None, Some("honest"), Some("gentle")).p_adjusted = Some(0.9);
    line(&r, 0, &["may change “harmless” under 1 of 2 pairs"], &["honest"]);
    line(&report(), 0, &[], &["may change"]);
    own(&mut r, Quantity::EncodedSlope, Control::None).p_adjusted = Some(0.05);
    line(&r, 0, &["gives no evidence that training it on its own judgments would change"], &["may change"]);
}

#[test]
fn of_a_value_that_no_constitution_was_set_against_nothing_is_said() {
    let mut r = report();
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.4);
    let none = "gives no evidence that training it on its own judgments would change “harmless”.";
    line(&r, 0, &[none], &["cannot be used"]);
    r.estimates.push(Estimate { value: Some("unasked".into()), ..figure(Quantity::Rho2, None, 0.4, 0.03) });
    line(&r, 0, &[none], &["unasked", "cannot be used"]);
    line(&r, 1, &["“unasked”: it was not set against a constitution."], &[]);
    r.estimates.retain(|e| e.constitution.is_none());
    line(&r, 0, &["represents “harmless” and “unasked”; what training"], &["no evidence"]);
    line(&r, 1, &["No constitution (a text that says"], &["set against"]);
}

#[test]
fn what_stands_out_a_little_is_not_said_not_to_stand_out() {
    let (nothing, small) = ("had no effect that stands out", "1 constitution would move it by less than 5 %");
    let choices = "nder 1 constitution the choices go with or against it by something that the inner state does not show";
    let quiet = |r: &mut Report| {
        own(r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.4);
        contrast(r, 0, "p_prompts", json!(0.4));
    };
    let mut r = report();
    own(&mut r, Quantity::OwnShare, Control::None).estimate = Some(0.049);
    line(&r, 1, &[small], &[nothing, "rise"]);
    own(&mut r, Quantity::OwnShare, Control::None).estimate = Some(0.051);
    line(&r, 1, &["would rise under"], &[nothing, "less than 5 %"]);
    // The choices themselves agree with the value, as p of their difference from the arm shows.
    let mut total = report();
    quiet(&mut total);
    line(&total, 1, &[choices], &[nothing]);
    contrast(&mut total, 1, "p_texts", json!(0.05));
    line(&total, 1, &["1 constitution had no effect that stands out from chance"], &["choices go"]);
    let mut unread = report();
    own(&mut unread, Quantity::OwnAlignment, Control::None).reportable = false;
    line(&unread, 1, &[choices], &["cannot tell"]);
    contrast(&mut unread, 1, "p_texts", json!(0.05));
    line(&unread, 1, &["For 1 constitution the data cannot tell"], &["choices go"]);
}

#[test]
fn what_is_no_evidence_is_told_apart_by_its_reason() {
    let (chance, placebos, length, ordinary, total) = (
        "had no effect that stands out from chance",
        "1 constitution moved it no further than texts without content differ among themselves",
        "1 constitution moved it only as far as the answers’ length does",
        "1 constitution moved it along a direction no closer to its own than unrelated directions",
        "1 constitution moved it in the inner state, where what was chosen in all does not agree",
    );
    let all = [chance, placebos, length, ordinary, total];
    let only = |r: &Report, there: &str| {
        let absent: Vec<&str> = all.iter().copied().filter(|s| *s != there).collect();
        let there = there.trim_start_matches('1');
        line(r, 1, &[there], &absent);
    };
    let mut r = report();
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.4);
    contrast(&mut r, 0, "p_prompts", json!(0.4));
    contrast(&mut r, 1, "p_texts", json!(0.4));
    only(&r, chance);
    // p over prompts would exclude 0; p over texts does not.
    contrast(&mut r, 0, "p_prompts", json!(0.001));
    only(&r, placebos);
    let mut r = report();
    own(&mut r, Quantity::OwnSlope, Control::Length).estimate = Some(-0.4);
    only(&r, length);
    let mut r = few(0);
    own(&mut r, Quantity::Alignment, Control::None).estimate = Some(0.1);
    only(&r, ordinary);
    let mut r = report();
    contrast(&mut r, 1, "difference", json!(-0.4));
    only(&r, total);
}

#[test]
fn a_value_that_is_encoded_entirely_is_told_to_100_percent() {
    let mut r = report();
    let mut latent = Estimate { quantity: Quantity::Rho2Latent, ..figure(Quantity::Rho2, None, 1.042, 0.02) };
    (latent.lo, latent.hi) = (Some(1.0008), Some(1.083));
    r.estimates.push(latent);
    line(
        &r,
        2,
        &["about 100 % (between 100 % and 100 %)", "the latent score behind"],
        &["104 %", "108 %", "40 %"],
    );
}

#[test]
fn length_is_named_where_it_may_be_the_reason() {
    let perhaps = "(perhaps only by the answers' length)";
    let mut r = report();
    line(&r, 1, &["“gentle”"], &[perhaps]);
    line(&r, 4, &[], &["may be answer length", "answer length was not known"]);
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| e.lo = Some(0.0));
    line(&r, 1, &[perhaps], &[]);
    line(&r, 4, &["1 of the effects may be answer length"], &["not known"]);
    r.estimates.retain(|e| e.control == Control::None);
    line(&r, 4, &["answer length was not known and may be what was measured"], &["of the effects"]);
}

#[test]
fn the_inner_state_tells_a_share_that_may_be_quoted() {
    let mut r = report();
    let tells = "tells about 40 % (between 34 % and 47 %) of how answers to one prompt differ in “harmless”.";
    line(&r, 2, &[tells], &["latent", "at least", "embeddings"]);
    // The latent score behind the labels is used only if it is reportable.
    let latent = Estimate { quantity: Quantity::Rho2Latent, ..figure(Quantity::Rho2, None, 0.97, 0.01) };
    r.estimates.push(latent.clone());
    line(&r, 2, &["about 97 %", "the latent score behind the labels of “harmless”"], &["about 40 %"]);
    r.estimates.pop();
    r.estimates.push(latent.withheld("two kinds of text"));
    line(&r, 2, &[tells], &["latent", "97 %"]);
    let own = at(&mut r, Quantity::Rho2, Control::None, Some("harmless"), None);
    *own = own.clone().at_least(0.35).flag(Flag::LowerEstimate);
    line(&r, 2, &["tells at least 35 % of how"], &["about", "between"]);
    line(&r, 4, &["fewer comparisons than the model has dimensions"], &[]);
    at(&mut r, Quantity::Rho2, Control::None, Some("harmless"), None).lo = None;
    line(&r, 2, &["tells perhaps 40 %"], &["at least"]);
    at(&mut r, Quantity::Rho2, Control::None, Some("harmless"), None).reportable = false;
    line(&r, 2, &["does not tell, as far as these data show"], &["40 %", "35 %"]);
    at(&mut r, Quantity::Rho2, Control::None, Some("harmless"), None).se = None;
    line(&r, 2, &["could not be measured"], &["does not tell"]);
    line(&report(), 4, &[], &["fewer comparisons than"]);
}

#[test]
fn the_text_alone_tells_a_share_that_is_above_its_gate() {
    let mut r = report();
    r.estimates.push(figure(Quantity::Rho2Embeddings, None, 0.3, 0.03));
    line(&r, 2, &["; its token embeddings alone, the text and not the model, tell 30 %."], &[]);
    r.estimates.last_mut().expect("embeddings").reportable = false;
    line(
        &r,
        2,
        &["embeddings alone, the text and not the model, are not seen to tell any of it."],
        &["30 %"],
    );
}

#[test]
fn counts_of_words_stand_beside_and_baselines_are_on_the_scale_of_the_sentence() {
    let mut r = report();
    r.estimates.push(figure(Quantity::Rho2Words, None, 0.2, 0.03));
    let words = "; counts of the words alone, the text and not the model, tell";
    line(&r, 2, &[&format!("{words} 20 %.")], &["embeddings"]);
    r.estimates.push(figure(Quantity::Rho2Embeddings, None, 0.3, 0.03));
    line(
        &r,
        2,
        &["token embeddings alone, the text and not the model, tell 30 %", &format!("{words} 20 %.")],
        &[],
    );
    // .804 on the latent scale is twice .402 on the labels' own scale.
    r.estimates
        .push(Estimate { quantity: Quantity::Rho2Latent, ..figure(Quantity::Rho2, None, 0.804, 0.01) });
    line(&r, 2, &["about 80 %", "tell 60 %", &format!("{words} 40 %.")], &["30 %", "20 %"]);
    line(&report(), 2, &[], &["counts of the words"]);
}

#[test]
fn how_sure_is_the_weakest_p_or_that_a_small_effect_may_exist() {
    let mut r = report();
    line(
        &r,
        3,
        &["less than once in 1000 (p < 0.001)", "on 500 independent groups"],
        &["too small for these data"],
    );
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.04);
    line(&r, 3, &["about once in 25 (p = 0.040)"], &["1000"]);
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.05);
    line(&r, 3, &["1 value–constitution pair could be tested, and an effect too small"], &["once in"]);
    own(&mut r, Quantity::OwnAlignment, Control::None).reportable = false;
    line(&r, 3, &["0 value–constitution pairs could be tested"], &["once in"]);
}

#[test]
fn agreements_are_ordinary_up_to_the_null_and_only_those_of_verdicts() {
    let (none, some) =
        ("None of the agreements is closer than unrelated", "1 agree no closer than unrelated");
    let mut r = report();
    line(&r, 3, &[], &[none, some]);
    // 1.96 · .1.
    own(&mut r, Quantity::OwnAlignment, Control::None).estimate = Some(0.195);
    line(&r, 3, &[none], &[some]);
    another(&mut r, "kind", 1.0);
    line(&r, 3, &["Of these 2, 1 agree no closer"], &[none]);
    own(&mut r, Quantity::OwnAlignment, Control::None).estimate = Some(0.197);
    line(&r, 3, &[], &[none, some]);
    own(&mut r, Quantity::OwnAlignment, Control::None).estimate = Some(0.1);
    own(&mut r, Quantity::OwnSlope, Control::None).p_adjusted = Some(0.2);
    line(&r, 3, &[], &[none, some]);
}

#[test]
fn what_would_make_it_wrong_is_told_where_it_is_so() {
    let (no, only) = ("no placebo constitution was run", "only 3 independent texts without content were run");
    line(
        &report(),
        4,
        &["It would be wrong if the labels"],
        &[no, "without content", "are few", "left out", "both orders"],
    );
    line(&few(3), 4, &[only], &[no]);
    line(&few(1), 4, &["only 1 independent text without content was run"], &[no]);
    line(&few(0), 4, &[no], &["only"]);
    let blocks = |n: usize| {
        let mut r = report();
        r.estimates.iter_mut().for_each(|e| e.blocks = Some(n));
        r
    };
    line(&blocks(99), 4, &["99 independent groups of answers are few"], &[]);
    line(&blocks(1), 4, &["1 independent group of answers is few"], &["groups of answers"]);
    line(&blocks(100), 4, &[], &["are few"]);
    let mut skipped = report();
    skipped.tables.insert(SKIPPED.into(), json!(1));
    line(&skipped, 4, &["1 text was left out"], &[]);
    let order = |share: f64| {
        let mut r = report();
        let mut e = Estimate::bare(Quantity::OrderAgreement, "by hand", share);
        e.z = Some(9.0);
        r.estimates.push(e);
        r
    };
    line(&order(0.74), 4, &["the same answer in both orders on only 74 % of pairs"], &[]);
    line(&order(0.76), 4, &[], &["both orders"]);
}

#[test]
fn too_few_groups_give_no_finding_and_twenty_do() {
    let r = |n: usize| {
        let mut r = report();
        r.estimates.iter_mut().for_each(|e| e.blocks = e.blocks.map(|_| n));
        r
    };
    line(&r(19), 0, &["Too little data: 19 independent groups"], &["raise"]);
    line(&r(19), 1, &["or 1 constitution there is too little data"], &["rise"]);
    line(&r(20), 0, &["raise"], &["Too little data"]);
}
