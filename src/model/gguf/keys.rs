//! An architecture's settings in the metadata; keeps track of which were read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Metadata;
use crate::error::{Diagnostic, Error, Kind, Result};

/// The keys `ARCHITECTURE.*` of a file's metadata.
pub(super) struct Keys<'a> {
    metadata: &'a Metadata,
    arch: &'a str,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, arch: &'a str) -> Self {
        Self { metadata, arch, read: RefCell::default() }
    }

    /// The name of the architecture.
    pub(super) fn arch(&self) -> &'a str {
        self.arch
    }

    /// The full key, with the architecture's prefix.
    pub(super) fn whole(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn note(&self, key: &str) -> String {
        let whole = self.whole(key);
        self.read.borrow_mut().insert(whole.clone());
        whole
    }

    /// A number; for a list with one entry per block, the value shared by all entries.
    pub(super) fn usize_opt(&self, key: &str) -> Result<Option<usize>> {
        let whole = self.note(key);
        if !self.metadata.is_list(&whole) {
            return self.metadata.usize(&whole);
        }
        let list = self.metadata.integers(&whole)?.unwrap_or_default();
        let same = list.first().copied().filter(|first| list.iter().all(|v| v == first));
        match same.map(usize::try_from) {
            Some(Ok(value)) => Ok(Some(value)),
            _ => Err(self.unsupported(key, "the same number for all blocks", "a list of different numbers")),
        }
    }

    pub(super) fn usize(&self, key: &str) -> Result<usize> {
        self.usize_opt(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn f64_opt(&self, key: &str) -> Result<Option<f64>> {
        self.metadata.f64(&self.note(key))
    }

    pub(super) fn f64(&self, key: &str) -> Result<f64> {
        self.f64_opt(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn bool_opt(&self, key: &str) -> Result<Option<bool>> {
        self.metadata.bool(&self.note(key))
    }

    pub(super) fn str_opt(&self, key: &str) -> Result<Option<&'a str>> {
        self.metadata.str(&self.note(key))
    }

    /// A list with one flag per block, or of numbers where 0 means false.
    pub(super) fn flags_opt(&self, key: &str) -> Result<Option<Vec<bool>>> {
        let whole = self.note(key);
        if !self.metadata.is_list(&whole) {
            return Ok(None);
        }
        match self.metadata.bools(&whole) {
            Ok(flags) => Ok(flags),
            Err(_) => Ok(self.metadata.integers(&whole)?.map(|list| list.iter().map(|v| *v != 0).collect())),
        }
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.metadata.contains(&self.whole(key))
    }

    pub(super) fn is_list(&self, key: &str) -> bool {
        self.metadata.is_list(&self.whole(key))
    }

    fn missing(&self, key: &str) -> Error {
        Diagnostic::new(Kind::Missing, format!("no metadata key `{}`", self.whole(key)))
            .at(self.metadata.place(&self.whole(key)))
            .remedy("convert the model again with a current llama.cpp")
            .into()
    }

    pub(super) fn unsupported(&self, key: &str, expected: &str, found: impl Into<String>) -> Error {
        let whole = self.whole(key);
        Diagnostic::new(Kind::Unsupported, format!("`{whole}` has a setting that is not implemented"))
            .at(self.metadata.place(&whole))
            .expected(expected)
            .found(found)
            .remedy(REMEDY)
            .into()
    }

    pub(super) fn invalid(&self, key: &str, expected: impl Into<String>, found: impl Into<String>) -> Error {
        let whole = self.whole(key);
        Diagnostic::new(Kind::Invalid, format!("`{whole}` makes no sense"))
            .at(self.metadata.place(&whole))
            .expected(expected)
            .found(found)
            .into()
    }

    /// Refuses keys that were not read: an unknown setting may change the numbers.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for the first of them, in alphabetical order.
    pub(super) fn finish(&self) -> Result<()> {
        for key in NOTES {
            self.note(key);
        }
        // Settings without effect at these values.
        for key in ZERO {
            match self.f64_opt(key)? {
                None | Some(0.0) => {}
                Some(other) => return Err(self.unsupported(key, "0", other.to_string())),
            }
        }
        if self.bool_opt("attention.causal")? == Some(false) {
            return Err(self.unsupported("attention.causal", "causal attention", "false"));
        }
        let prefix = format!("{}.", self.arch);
        let read = self.read.borrow();
        let unread = self.metadata.keys().filter(|k| k.starts_with(&prefix) && !read.contains(*k)).min();
        match unread {
            None => Ok(()),
            Some(key) => {
                Err(Diagnostic::new(Kind::Unsupported, format!("the setting `{key}` is not implemented"))
                    .at(self.metadata.place(key))
                    .expected("settings that are known for this architecture")
                    .remedy(REMEDY)
                    .into())
            }
        }
    }
}

const REMEDY: &str =
    "use another model; a forward that ignored this setting would give wrong residual streams";

/// Keys that do not affect the residual stream: notes, information implied by the tensors' shapes, and settings of the
/// other kind of norm.
const NOTES: &[&str] = &[
    "vocab_size",
    "tensor_data_layout",
    "rope.scaling.finetuned",
    "pooling_type",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "source.url",
    "source.huggingface.repository",
];

/// Keys of settings that are disabled at 0.
const ZERO: &[&str] = &[
    "expert_count",
    "expert_used_count",
    "expert_shared_count",
    "nextn_predict_layers",
    "leading_dense_block_count",
    "attention.max_alibi_bias",
    "attention.clamp_kqv",
    "attention.shared_kv_layers",
    "rope.scaling.yarn_log_multiplier",
];
