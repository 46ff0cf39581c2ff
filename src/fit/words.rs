//! Token counts of responses: a bag-of-words baseline for what the text alone explains.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use ndarray::Array2;

use crate::error::Result;
use crate::observations::ROWS;
use crate::observations::read_rows;

/// Maximum number of token kinds counted; the most frequent are kept.
const KINDS: usize = 4096;
/// Maximum number of counts in memory.
const CELLS: usize = 1 << 26;

/// Counts `[rows, kinds]` of the tokens of some rows of an observations file, from the list of rows next to it. Kinds
/// that occur in only one response are dropped, since they cannot help to predict another. `None` where the list is
/// missing, does not match, or does not hold the tokens.
///
/// # Errors
/// If the list cannot be read.
pub(super) fn counts(observations: &Path, rows: &[usize]) -> Result<Option<Array2<f32>>> {
    let list = observations.with_file_name(ROWS);
    if !list.is_file() {
        return Ok(None);
    }
    let records = read_rows(&list)?;
    let held: HashMap<(&str, usize), &[u32]> =
        records.iter().filter_map(|r| Some(((r.id.as_str(), r.response), r.tokens.as_deref()?))).collect();
    let tokens: Option<Vec<&[u32]>> = rows
        .iter()
        .map(|&row| records.get(row).and_then(|r| held.get(&(r.id.as_str(), r.response)).copied()))
        .collect();
    let Some(tokens) = tokens else { return Ok(None) };
    let mut responses: BTreeMap<u32, usize> = BTreeMap::new();
    for row in &tokens {
        for token in row.iter().collect::<HashSet<_>>() {
            *responses.entry(*token).or_default() += 1;
        }
    }
    let mut kinds: Vec<(u32, usize)> = responses.into_iter().filter(|(_, n)| *n > 1).collect();
    kinds.sort_by_key(|&(token, n)| (std::cmp::Reverse(n), token));
    kinds.truncate(KINDS.min(CELLS / rows.len().max(1)));
    if kinds.is_empty() {
        return Ok(None);
    }
    let column: HashMap<u32, usize> = kinds.iter().enumerate().map(|(at, (token, _))| (*token, at)).collect();
    let mut out = Array2::zeros((rows.len(), kinds.len()));
    for (row, tokens) in tokens.iter().enumerate() {
        for at in tokens.iter().filter_map(|token| column.get(token)) {
            out[[row, *at]] += 1.0;
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::{RowRecord, write_rows};

    fn record(id: &str, response: usize, constitution: &str, tokens: Option<&[u32]>) -> RowRecord {
        RowRecord {
            id: id.into(),
            response,
            constitution: constitution.into(),
            span: [0, 1],
            pooled: None,
            tokens: tokens.map(<[u32]>::to_vec),
            sequence_sha256: None,
        }
    }

    #[test]
    fn tokens_of_two_responses_are_counted_and_found_under_another_constitution() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("observations.safetensors");
        assert_eq!(counts(&file, &[0]).expect("no list"), None);
        let rows = [
            record("a", 0, "none", Some(&[7, 7, 9])),
            record("a", 1, "none", Some(&[7, 3])),
            record("b", 0, "none", Some(&[9, 9, 9, 4])),
            record("b", 0, "kind", None),
            record("c", 0, "kind", None),
        ];
        write_rows(&folder.path().join(ROWS), &rows).expect("written");
        // 3 and 4 occur in only one response; 7 and 9 in two, the smaller first.
        for last in [2, 3] {
            let found = counts(&file, &[0, 1, last]).expect("read").expect("counts");
            assert_eq!(found, ndarray::array![[2.0, 1.0], [1.0, 0.0], [0.0, 3.0]]);
        }
        assert_eq!(counts(&file, &[0, 4]).expect("read"), None, "a response without tokens");
        assert_eq!(counts(&file, &[0, 5]).expect("read"), None, "a row that is not listed");
    }
}
