//! The observations file: what was read from the model, row by row.
