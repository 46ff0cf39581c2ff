//! Data sets on the hub: the parquet files that it generates for every data set, or the repository's own files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::fetch::{Chosen, Unread, chosen};
use super::settings::Settings;
use super::trouble::{HubRequest, Repository};
use super::{DEFAULT_REVISION, Downloads};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::{DATA_ENDINGS, hub_dataset};

/// Branch of a data set with the hub's parquet conversion, `CONFIG/SPLIT/NUMBER.parquet`.
const CONVERTED: &str = "refs/convert/parquet";

/// Fetches the files of a split into the cache, in order.
///
/// `id` is `owner/name`; `part` is a split or `CONFIG/SPLIT`; without it, the only one, or `default` and `train`.
///
/// # Errors
/// [`Kind::Invalid`] for an invalid name; [`Kind::Missing`] for a part that the data set does not have, listing those
/// that it has; otherwise as [`fetch`](super::fetch).
pub fn fetch_dataset(
    id: &str,
    part: Option<&str>,
    settings: &Settings,
    downloads: &mut dyn Downloads,
) -> Result<Vec<PathBuf>> {
    if !super::is_id(id) {
        return Err(Diagnostic::new(Kind::Invalid, format!("a data set `{id}`"))
            .expected("hf://owner/name, hf://owner/name:SPLIT or hf://owner/name:CONFIG/SPLIT")
            .into());
    }
    let choice = |asked: &HubRequest, files: &[String], _: &str| {
        choose(files, part).map_err(|parts| refusal(asked, part, parts))
    };
    let mut of =
        |revision: &str| chosen(Repository::Dataset, id, Some(revision), settings, downloads, &choice);
    let Chosen { cache, commit, names } = match of(CONVERTED) {
        Err(Unread::Absent(_)) => of(DEFAULT_REVISION),
        other => other,
    }?;
    let folder = cache.snapshot(&commit);
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

fn refusal(asked: &HubRequest, part: Option<&str>, parts: BTreeSet<String>) -> Diagnostic {
    let list: Vec<String> = parts.into_iter().take(30).collect();
    let what = part
        .map_or("the data set has several parts".to_owned(), |p| format!("the data set has no part `{p}`"));
    Diagnostic::new(Kind::Missing, what)
        .at(Place::default().id(format!("{} @ {}", asked.id, asked.revision)))
        .expected(format!("hf://{}:PART", asked.id))
        .found(if list.is_empty() {
            "no file of rows".to_owned()
        } else {
            format!("the parts {}", list.join(", "))
        })
        .remedy("name one of the parts")
}

/// The files of a part, in order; otherwise the available parts.
fn choose(files: &[String], part: Option<&str>) -> Result<Vec<String>, BTreeSet<String>> {
    let mut parts: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_rows(file)) {
        parts.entry(part_of(file)).or_default().push(file.clone());
    }
    let names = || {
        parts
            .keys()
            .map(
                |(config, split)| if config.is_empty() { split.clone() } else { format!("{config}/{split}") },
            )
            .collect()
    };
    let fits = |(config, split): &(String, String)| match part {
        None => true,
        Some(part) => match part.rsplit_once('/') {
            Some((c, s)) => c == config && s == split,
            None => part == split,
        },
    };
    let mut chosen: Vec<&(String, String)> = parts.keys().filter(|key| fits(key)).collect();
    if chosen.len() > 1 && chosen.iter().any(|(config, _)| config == "default") {
        chosen.retain(|(config, _)| config == "default");
    }
    if chosen.len() > 1 && part.is_none() && chosen.iter().all(|(config, _)| *config == chosen[0].0) {
        chosen.retain(|(_, split)| split == "train");
    }
    match chosen[..] {
        [key] => {
            let mut own = parts[key].clone();
            own.sort();
            Ok(own)
        }
        _ => Err(names()),
    }
}

fn is_rows(file: &str) -> bool {
    let name = file.strip_suffix(".gz").unwrap_or(file);
    DATA_ENDINGS.iter().any(|ending| name.ends_with(ending))
        && !["dataset_infos.json", "dataset_info.json"].contains(&file.rsplit('/').next().unwrap_or(file))
}

/// Config and split of a file, from its path: `CONFIG/SPLIT/0000.parquet`, `data/train-00000-of-00002.parquet`,
/// `train.jsonl.gz`.
fn part_of(file: &str) -> (String, String) {
    let folders: Vec<&str> = file.split('/').collect();
    let (name, above) = folders.split_last().map_or((file, &[][..]), |(name, above)| (*name, above));
    let stem = name.split('.').next().unwrap_or(name);
    if stem.bytes().all(|b| b.is_ascii_digit())
        && let [.., config, split] = above
    {
        let split = split.strip_prefix("partial-").unwrap_or(split);
        return ((*config).to_owned(), split.to_owned());
    }
    let split = stem.split("-0").next().unwrap_or(stem);
    let config = above.last().filter(|folder| **folder != "data").map_or("", |folder| *folder);
    (config.to_owned(), split.to_owned())
}

/// Replaces each `hf://owner/name[:PART]` by the local files of that part, fetching them if needed.
///
/// # Errors
/// Errors of [`fetch_dataset`].
pub fn local(files: &[PathBuf], downloads: &mut dyn Downloads) -> Result<Vec<PathBuf>> {
    let mut out = Vec::with_capacity(files.len());
    for file in files {
        match hub_dataset(file) {
            None => out.push(file.clone()),
            Some((id, part)) => {
                out.extend(fetch_dataset(&id, part.as_deref(), &Settings::from_env()?, downloads)?)
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_part_is_found_by_its_name_or_as_the_only_one() {
        let one = files(&[
            "default/train/0001.parquet",
            "default/train/0000.parquet",
            "default/test/0000.parquet",
            "README.md",
        ]);
        let train = files(&["default/train/0000.parquet", "default/train/0001.parquet"]);
        assert_eq!(choose(&one, None), Ok(train.clone()));
        assert_eq!(choose(&one, Some("train")), Ok(train.clone()));
        assert_eq!(choose(&one, Some("default/test")), Ok(files(&["default/test/0000.parquet"])));
        assert_eq!(
            choose(&one, Some("valid")),
            Err(BTreeSet::from(["default/test".to_owned(), "default/train".to_owned()]))
        );
        let two = files(&["a/train/0000.parquet", "b/train/0000.parquet"]);
        assert!(choose(&two, None).is_err() && choose(&two, Some("train")).is_err());
        assert_eq!(choose(&two, Some("b/train")), Ok(files(&["b/train/0000.parquet"])));
        let plain = files(&["train.jsonl.gz", "test.jsonl.gz", "dataset_infos.json"]);
        assert_eq!(choose(&plain, None), Ok(files(&["train.jsonl.gz"])));
        let data = files(&["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]);
        assert_eq!(choose(&data, None), Ok(data.clone()));
        let harmless = files(&[
            "harmless-base/train.jsonl.gz",
            "harmless-base/test.jsonl.gz",
            "helpful-base/test.jsonl.gz",
        ]);
        assert_eq!(
            choose(&harmless, Some("harmless-base/test")),
            Ok(files(&["harmless-base/test.jsonl.gz"]))
        );
    }
}
