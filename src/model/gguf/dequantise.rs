//! Dequantises blocks of numbers, piece by piece.

use std::borrow::Cow;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::error::Result;

/// Numbers converted by one thread at a time, a multiple of every block size.
const PIECE: usize = 1 << 16;

/// The dtype of a type that stores plain numbers; `None` for a block type.
pub(super) fn plain(stored: GgmlDType) -> Option<DType> {
    match stored {
        GgmlDType::F32 => Some(DType::F32),
        GgmlDType::F16 => Some(DType::F16),
        GgmlDType::BF16 => Some(DType::BF16),
        _ => None,
    }
}

/// Decodes `bytes` to a tensor of this shape in `dtype` on the CPU.
///
/// # Errors
/// If the tensor library fails.
///
/// # Panics
/// If the number of bytes does not match the shape.
pub(super) fn tensor(bytes: &[u8], stored: GgmlDType, shape: &[usize], dtype: DType) -> Result<Tensor> {
    if let Some(plain) = plain(stored) {
        return Ok(Tensor::from_raw_buffer(bytes, plain, shape, &Device::Cpu)?.to_dtype(dtype)?);
    }
    let device = Device::Cpu;
    Ok(match dtype {
        DType::F64 => Tensor::from_vec(numbers(bytes, stored, shape, f64::from)?, shape, &device)?,
        DType::BF16 => Tensor::from_vec(numbers(bytes, stored, shape, bf16::from_f32)?, shape, &device)?,
        DType::F16 => Tensor::from_vec(numbers(bytes, stored, shape, f16::from_f32)?, shape, &device)?,
        _ => Tensor::from_vec(numbers(bytes, stored, shape, |v| v)?, shape, &device)?.to_dtype(dtype)?,
    })
}

fn numbers<T: WithDType>(
    bytes: &[u8],
    stored: GgmlDType,
    shape: &[usize],
    convert: impl Fn(f32) -> T + Sync,
) -> Result<Vec<T>> {
    let count: usize = shape.iter().product();
    assert_eq!(count / stored.block_size() * stored.type_size(), bytes.len(), "bytes of {shape:?}");
    let mut out = vec![convert(0.0); count];
    let piece = PIECE / stored.block_size() * stored.type_size();
    out.par_chunks_mut(PIECE).zip(bytes.par_chunks(piece)).try_for_each(|(out, bytes)| -> Result<()> {
        let blocks = aligned(bytes, |bytes| stored.from_data(Cow::Borrowed(bytes)));
        let values = blocks.dequantize(out.len())?;
        for (out, value) in out.iter_mut().zip(values.as_slice::<f32>()?) {
            *out = convert(*value);
        }
        Ok(())
    })?;
    Ok(out)
}

/// Calls `f` with the bytes at an address that is a multiple of 4, as candle requires for blocks.
fn aligned<R>(bytes: &[u8], f: impl FnOnce(&[u8]) -> R) -> R {
    if bytes.as_ptr().align_offset(4) == 0 {
        return f(bytes);
    }
    let mut copy = vec![0; bytes.len() + 3];
    let start = copy.as_ptr().align_offset(4);
    let copy = &mut copy[start..start + bytes.len()];
    copy.copy_from_slice(bytes);
    f(copy)
}
