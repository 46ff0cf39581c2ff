//! The models embedded in the binary, as files in Hugging Face layout.

/// Name and bytes of a file.
type File = (&'static str, &'static [u8]);

macro_rules! folder {
    ($name:literal) => {
        &[
            ("config.json", include_bytes!(concat!("../../models/", $name, "/config.json"))),
            ("tokenizer.json", include_bytes!(concat!("../../models/", $name, "/tokenizer.json"))),
            (
                "tokenizer_config.json",
                include_bytes!(concat!("../../models/", $name, "/tokenizer_config.json")),
            ),
            ("model.safetensors", include_bytes!(concat!("../../models/", $name, "/model.safetensors"))),
        ]
    };
}

const MODELS: &[(&str, &[File])] = &[
    ("hearth-l", folder!("hearth-l")),
    ("hearth", folder!("hearth")),
    ("hearth-s", folder!("hearth-s")),
    ("hearth-xs", folder!("hearth-xs")),
];

/// The files of an embedded model; `None` for an unknown name.
pub fn files(name: &str) -> Option<&'static [File]> {
    MODELS.iter().find(|(n, _)| *n == name).map(|(_, files)| *files)
}

/// The names of the embedded models, largest first.
pub fn names() -> &'static [&'static str] {
    const NAMES: &[&str] = &["hearth-l", "hearth", "hearth-s", "hearth-xs"];
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_files() {
        assert_eq!(names().len(), MODELS.len());
        for name in names() {
            let files = files(name).expect("an embedded model");
            assert!(files.iter().all(|(_, bytes)| !bytes.is_empty()), "{name}");
        }
        assert!(files("kiln").is_none());
    }
}
