//! Hashes that identify the texts and constitutions of a capture, as stored in observations.

use std::collections::BTreeMap;

use crate::artifact;
use crate::input::Constitution;
use crate::observations::Meta;

/// Metadata key: SHA-256 of each constitution's text, by name.
pub(super) const CONSTITUTIONS: &str = "constitution_sha256";

/// SHA-256 of a token sequence: ids as u32, little endian.
pub(super) fn sequence(tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    artifact::sha256(&bytes)
}

/// SHA-256 of the constitutions' texts, by name.
pub(super) fn texts(constitutions: &[&Constitution]) -> BTreeMap<String, String> {
    constitutions.iter().map(|c| (c.name.clone(), artifact::sha256(c.text.as_bytes()))).collect()
}

/// The hashes stored in observations.
pub(super) fn known(meta: &Meta) -> BTreeMap<String, String> {
    meta.extra.get(CONSTITUTIONS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
