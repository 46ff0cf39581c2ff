//! Reading TOML.
