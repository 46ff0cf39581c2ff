//! Decodes stored numbers: little-endian bytes of many dtypes, converted if no information relevant to the estimators
//! is lost.

use half::{bf16, f16};
use safetensors::tensor::Dtype;

/// Converts the bytes of a floating-point tensor to f32 in `out`; `None` for other dtypes. f16 and bf16 convert
/// exactly, f64 is rounded (overflow becomes infinite and is refused by the subsequent check).
pub(super) fn f32_into(dtype: Dtype, bytes: &[u8], out: &mut [f32]) -> Option<()> {
    match dtype {
        Dtype::F32 => fill::<4, _>(bytes, out, f32::from_le_bytes),
        Dtype::F16 => fill::<2, _>(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => fill::<2, _>(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => fill::<8, _>(bytes, out, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    }
    Some(())
}

fn fill<const B: usize, T>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; B]) -> T) {
    for (to, from) in out.iter_mut().zip(bytes.as_chunks::<B>().0) {
        *to = read(*from);
    }
}

fn each<const B: usize, T>(bytes: &[u8], read: impl Fn([u8; B]) -> T) -> Vec<T> {
    bytes.as_chunks::<B>().0.iter().map(|b| read(*b)).collect()
}

/// Converts the bytes of a real-valued tensor (any float, integers, booleans as 0 and 1) to f64; `None` for dtypes that
/// do not convert exactly or are not numbers.
pub(super) fn reals(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        _ => {
            // An integer that f64 cannot represent exactly is not a plausible label.
            const EXACT: u64 = 1 << 53;
            let whole = integers(dtype, bytes)?;
            if whole.iter().any(|v| v.unsigned_abs() > EXACT) {
                return None;
            }
            whole.into_iter().map(|v| v as f64).collect()
        }
    })
}

/// Converts the bytes of an integer tensor to i64; `None` for other dtypes and for u64 beyond i64.
pub(super) fn integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    Some(match dtype {
        Dtype::BOOL => each(bytes, |b: [u8; 1]| i64::from(b[0] != 0)),
        Dtype::U8 => each(bytes, |b: [u8; 1]| i64::from(b[0])),
        Dtype::I8 => each(bytes, |b| i64::from(i8::from_le_bytes(b))),
        Dtype::U16 => each(bytes, |b| i64::from(u16::from_le_bytes(b))),
        Dtype::I16 => each(bytes, |b| i64::from(i16::from_le_bytes(b))),
        Dtype::U32 => each(bytes, |b| i64::from(u32::from_le_bytes(b))),
        Dtype::I32 => each(bytes, |b| i64::from(i32::from_le_bytes(b))),
        Dtype::I64 => each(bytes, i64::from_le_bytes),
        Dtype::U64 => {
            return each(bytes, |b| i64::try_from(u64::from_le_bytes(b)).ok()).into_iter().collect();
        }
        _ => return None,
    })
}

/// f32 values as bytes.
pub(super) fn f32_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// i32 values as bytes.
pub(super) fn i32_bytes(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_gives_the_number_that_was_written() {
        let mut out = [0f32; 3];
        let numbers = [1.5f32, -0.25, 1024.0];
        let half: Vec<u8> = numbers.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let brain: Vec<u8> = numbers.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let double: Vec<u8> = numbers.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        for (dtype, bytes) in
            [(Dtype::F32, f32_bytes(numbers)), (Dtype::F16, half), (Dtype::BF16, brain), (Dtype::F64, double)]
        {
            f32_into(dtype, &bytes, &mut out).expect("a float");
            assert_eq!(out, numbers, "{dtype:?}");
            assert_eq!(reals(dtype, &bytes).expect("reals"), numbers.map(f64::from), "{dtype:?}");
        }
        assert_eq!(f32_into(Dtype::I32, &[0; 12], &mut out), None);
    }

    #[test]
    fn integers_come_from_every_width_and_never_wrap() {
        assert_eq!(integers(Dtype::I64, &(-7i64).to_le_bytes()), Some(vec![-7]));
        assert_eq!(integers(Dtype::U8, &[200, 1]), Some(vec![200, 1]));
        assert_eq!(integers(Dtype::BOOL, &[0, 1]), Some(vec![0, 1]));
        assert_eq!(integers(Dtype::I16, &(-3i16).to_le_bytes()), Some(vec![-3]));
        assert_eq!(integers(Dtype::U64, &u64::MAX.to_le_bytes()), None);
        assert_eq!(integers(Dtype::F32, &1f32.to_le_bytes()), None);
        assert_eq!(reals(Dtype::I64, &i64::MAX.to_le_bytes()), None);
        assert_eq!(reals(Dtype::U8, &[1, 0]), Some(vec![1.0, 0.0]));
    }
}
