//! Measures this machine's matrix product rate, as the reference for a benchmark.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use super::open;
use super::product::View;
use crate::error::Result;
use crate::model::decoder::dense::Weight;

/// Rows, columns and inner dimension of the product.
const SIDE: usize = 2048;

/// Operations per second of a product of 2048 × 2048 × 2048 (on a GPU 8192 × 8192 × 8192) with weights in `dtype`,
/// counting 2 operations per multiplication: the best of several runs, computed as the decoder would on this device.
///
/// # Errors
/// If the tensor library fails.
pub fn product_rate(dtype: DType, device: &Device) -> Result<f64> {
    // A GPU is saturated from about 8192³ multiplications on.
    let side = if device.is_cpu() { SIDE } else { 4 * SIDE };
    let operations = 2.0 * (side as f64).powi(3);
    let weights = Tensor::rand(-1f32, 1f32, (side, side), device)?.to_dtype(dtype)?;
    let mut best = f64::INFINITY;
    if !device.is_cpu() {
        let x = weights.clone();
        for _ in 0..12 {
            let began = Instant::now();
            x.matmul(&weights)?.narrow(0, 0, 1)?.narrow(1, 0, 1)?.to_device(&Device::Cpu)?;
            best = best.min(began.elapsed().as_secs_f64());
        }
        return Ok(operations / best);
    }
    let x: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 97) as f32 / 97.0).collect();
    let mut out = vec![0f32; SIDE * SIDE];
    let weight = Weight::new(weights, dtype == DType::BF16 && super::panels_serve())?;
    let mut packed = Vec::new();
    open(&weight, (0, SIDE), &mut packed, |weights| {
        for _ in 0..6 {
            let began = Instant::now();
            weights.times(View::new(&x, SIDE, SIDE, SIDE), &mut out, SIDE, false);
            best = best.min(began.elapsed().as_secs_f64());
        }
    })?;
    Ok(operations / best)
}
