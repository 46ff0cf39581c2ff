//! Open-weights language models: one decoder driven by a checked config.
