//! Re-exports of what most programs need.

pub use crate::config::{
    CaptureSettings, DataSettings, FitSettings, JudgeMode, JudgeSettings, ModelSettings, TemplateName,
};
pub use crate::error::{Error, Result};
pub use crate::forest::Pool;
pub use crate::input::{Constitution, Items, ReadOptions, read_constitutions, read_items};
pub use crate::model::{Model, ModelSource};
pub use crate::observations::{Columns, Judgments, Meta, Observations};
pub use crate::run::capture::{CaptureOptions, Prepared};
pub use crate::run::judges::Judges;
pub use crate::run::progress::Silent;
pub use crate::theory::{Analysis, Control, Estimate, Quantity};
pub use crate::units::{Layer, LayerList};
