//! Which part a task of a scheduler does, and which tasks to submit again.

use crate::error::{Diagnostic, Kind, Result};
use crate::units::Part;

/// Slurm's number of a task in its array.
pub const FROM_SLURM: &str = "SLURM_ARRAY_TASK_ID";
/// Slurm's lowest number in the array.
const LOWEST: &str = "SLURM_ARRAY_TASK_MIN";
/// Kubernetes' number of a pod in an Indexed Job.
const FROM_KUBERNETES: &str = "JOB_COMPLETION_INDEX";

/// The part of this task, of `of` parts: `SLURM_ARRAY_TASK_ID` from 1 to `of`, or `JOB_COMPLETION_INDEX` from 0 to
/// `of` − 1. `get` reads a variable of the environment.
///
/// The numbers of a Slurm array are those of the parts, whatever else is in the array: `--array=3,7-9` does the parts
/// 3, 7, 8 and 9 again. An array that begins at 0 is therefore refused, by every task of it.
///
/// # Errors
/// [`Kind::Missing`] without either variable; [`Kind::Invalid`] with both, or with a number out of range.
pub fn from_environment(of: usize, get: &dyn Fn(&str) -> Option<String>) -> Result<Part> {
    let invalid = |name: &str, value: &str, expected: String| {
        Diagnostic::new(Kind::Invalid, format!("{name} names no part of {of}"))
            .expected(expected)
            .found(format!("`{value}`"))
    };
    match (get(FROM_SLURM), get(FROM_KUBERNETES)) {
        (Some(id), None) => {
            let range = format!("an array with numbers from 1 to {of}");
            let begins_at_0 = get(LOWEST).is_some_and(|lowest| lowest.trim() == "0");
            let number = id.trim().parse::<usize>().ok().filter(|_| !begins_at_0);
            number.and_then(|n| Part::new(n, of)).ok_or_else(|| {
                let found = if begins_at_0 { "an array that begins at 0" } else { &id };
                let submit = format!("submit with `--array=1-{of}`, or some of these numbers");
                invalid(FROM_SLURM, found, range).remedy(submit).into()
            })
        }
        (None, Some(index)) => {
            let number = index.trim().parse::<usize>().ok().and_then(|n| n.checked_add(1));
            number.and_then(|n| Part::new(n, of)).ok_or_else(|| {
                invalid(FROM_KUBERNETES, &index, format!("an index from 0 to {}", of.saturating_sub(1)))
                    .remedy(format!("give the Job `completions: {of}` and `completionMode: Indexed`"))
                    .into()
            })
        }
        (Some(_), Some(_)) => Err(Diagnostic::new(Kind::Invalid, "the environment names two parts")
            .found(format!("{FROM_SLURM} and {FROM_KUBERNETES}"))
            .remedy("say which with `--shard I/N`")
            .into()),
        (None, None) => Err(Diagnostic::new(Kind::Missing, "nothing says which part to do")
            .expected(format!("{FROM_SLURM} or {FROM_KUBERNETES} in the environment"))
            .remedy(format!("submit as a Slurm array or an Indexed Job, or give `--shard I/{of}`"))
            .into()),
    }
}

/// Numbers as Slurm's `--array` takes them: `3,7-9`.
pub fn array_expression(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(of: usize, variables: &[(&str, &str)]) -> Result<Part> {
        let get =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        from_environment(of, &get)
    }

    #[test]
    fn a_task_is_the_part_of_its_number_also_in_an_array_of_a_few() {
        let slurm =
            |id, lowest| part(9, &[(FROM_SLURM, id), (LOWEST, lowest), ("SLURM_ARRAY_TASK_COUNT", "4")]);
        for id in ["3", "7", "8", "9"] {
            assert_eq!(slurm(id, "3").expect("a part").to_string(), format!("{id}/9"));
        }
        for index in 0..9 {
            let part = part(9, &[(FROM_KUBERNETES, &index.to_string())]).expect("a part");
            assert_eq!((part.number(), part.of()), (index + 1, 9));
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_and_an_array_from_0_by_every_task() {
        for id in ["0", "5"] {
            let refused = part(9, &[(FROM_SLURM, id), (LOWEST, "0")]).expect_err("refused").to_string();
            assert!(refused.contains("begins at 0") && refused.contains("--array=1-9"), "{refused}");
        }
        for (name, value) in
            [(FROM_SLURM, "10"), (FROM_SLURM, "0"), (FROM_SLURM, "x"), (FROM_KUBERNETES, "9")]
        {
            assert_eq!(part(9, &[(name, value)]).expect_err(value).kind(), Some(Kind::Invalid));
        }
        assert_eq!(part(9, &[]).expect_err("nothing").kind(), Some(Kind::Missing));
        let both = part(9, &[(FROM_SLURM, "1"), (FROM_KUBERNETES, "1")]).expect_err("both").to_string();
        assert!(both.contains("--shard I/N"), "{both}");
    }

    #[test]
    fn numbers_are_written_as_an_array_takes_them() {
        for (numbers, expression) in
            [(&[][..], ""), (&[3], "3"), (&[3, 7, 8, 9], "3,7-9"), (&[1, 2, 4, 6, 7], "1-2,4,6-7")]
        {
            assert_eq!(array_expression(numbers), expression);
        }
    }
}
