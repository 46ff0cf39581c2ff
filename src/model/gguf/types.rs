//! Tensor types in GGUF files: their names, and which are supported.

use candle_core::quantized::GgmlDType;

/// The type that a number in a file refers to.
pub(super) enum Type {
    /// A supported type.
    Known(GgmlDType),
    /// An unsupported type, by name.
    Unread(String),
}

impl Type {
    /// The type for `number` in the tensor table.
    pub(super) fn of(number: u32) -> Self {
        use GgmlDType as T;
        let known = match number {
            0 => T::F32,
            1 => T::F16,
            2 => T::Q4_0,
            3 => T::Q4_1,
            6 => T::Q5_0,
            7 => T::Q5_1,
            8 => T::Q8_0,
            9 => T::Q8_1,
            10 => T::Q2K,
            11 => T::Q3K,
            12 => T::Q4K,
            13 => T::Q5K,
            14 => T::Q6K,
            15 => T::Q8K,
            30 => T::BF16,
            _ => {
                let name = UNREAD.iter().find(|(n, _)| *n == number).map(|(_, name)| (*name).to_owned());
                return Self::Unread(name.unwrap_or_else(|| format!("number {number}, which is not known")));
            }
        };
        Self::Known(known)
    }
}

/// Types that llama.cpp has or had and that candle does not read.
const UNREAD: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// The GGUF name of a type.
pub(super) fn name(dtype: GgmlDType) -> &'static str {
    use GgmlDType as T;
    match dtype {
        T::F32 => "F32",
        T::F16 => "F16",
        T::BF16 => "BF16",
        T::Q4_0 => "Q4_0",
        T::Q4_1 => "Q4_1",
        T::Q5_0 => "Q5_0",
        T::Q5_1 => "Q5_1",
        T::Q8_0 => "Q8_0",
        T::Q8_1 => "Q8_1",
        T::Q2K => "Q2_K",
        T::Q3K => "Q3_K",
        T::Q4K => "Q4_K",
        T::Q5K => "Q5_K",
        T::Q6K => "Q6_K",
        T::Q8K => "Q8_K",
    }
}
