//! Models that come with the program, by name.

/// A model's files: name and content.
type Files = &'static [(&'static str, &'static [u8])];

/// The models.
const MODELS: &[(&str, Files)] = &[];

/// Their names.
const NAMES: &[&str] = &[];

/// The files of a model, as they would lie in its folder.
pub fn files(name: &str) -> Option<Files> {
    MODELS.iter().find(|(n, _)| *n == name).map(|(_, files)| *files)
}

/// The names of the models.
pub fn names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_files() {
        assert_eq!(MODELS.len(), NAMES.len());
        assert!(names().iter().all(|n| files(n).is_some_and(|f| !f.is_empty())));
    }
}
