//! Names of data that are not file paths.

use std::path::Path;

use super::embedded;

/// Prefix of the name of a data set on the hub.
const SCHEME: &str = "hf://";

/// Parses `hf://owner/name` or `hf://owner/name:PART`, also with `datasets/` before the owner, or the URL of the data
/// set's page, to its id and part. `None` for a file path.
pub fn hub_dataset(path: &Path) -> Option<(String, Option<String>)> {
    let name = path.to_str()?;
    let rest = match name.strip_prefix(SCHEME) {
        Some(rest) => rest.strip_prefix("datasets/").unwrap_or(rest),
        None => name.strip_prefix("https://huggingface.co/datasets/")?,
    };
    let (id, part) = match rest.split_once(':') {
        Some((id, part)) if !part.is_empty() => (id, Some(part.to_owned())),
        _ => (rest, None),
    };
    let id: Vec<&str> = id.trim_end_matches('/').split('/').take(2).collect();
    Some((id.join("/"), part))
}

/// Whether the name refers to embedded data or to the hub, rather than to a file.
pub fn is_named(path: &Path) -> bool {
    embedded::name(path).is_some() || hub_dataset(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_have_an_id_and_a_part() {
        let read = |name: &str| hub_dataset(Path::new(name));
        let of = |id: &str, part: Option<&str>| Some((id.to_owned(), part.map(str::to_owned)));
        assert_eq!(read("hf://o/n"), of("o/n", None));
        assert_eq!(read("hf://datasets/o/n:test"), of("o/n", Some("test")));
        assert_eq!(read("hf://o/n:config/train"), of("o/n", Some("config/train")));
        assert_eq!(read("https://huggingface.co/datasets/o/n/viewer/default"), of("o/n", None));
        assert_eq!(read("o/n.jsonl"), None);
    }
}
