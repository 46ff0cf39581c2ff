//! GPU driver calls beyond tensor operations: free memory, and keeping freed memory.

use candle_core::Device;

use crate::error::Result;

/// Tells the driver to keep memory that tensors have freed. By default it returns such memory to the system whenever
/// the host waits for the GPU, which happens at every layer that is read in a forward pass.
///
/// # Errors
/// If the driver refuses.
#[cfg(feature = "cuda")]
pub(super) fn keep_freed_memory(device: &Device) -> Result<()> {
    use candle_core::cuda::WrapErr;
    use candle_core::cuda::cudarc::driver::{result, sys};

    let Device::Cuda(cuda) = device else { return Ok(()) };
    let context = cuda.cuda_stream().context().clone();
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut all = u64::MAX;
    // SAFETY: the device is that of a live context, the pool is the device's own, and the attribute is a `u64`.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast()).w()?;
    }
    Ok(())
}

/// Free bytes on a GPU; `None` if unknown, or if the device is not a GPU.
#[cfg(feature = "cuda")]
pub fn free_memory(device: &Device) -> Option<usize> {
    let Device::Cuda(cuda) = device else { return None };
    cuda.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free)
}

/// Free bytes on a GPU; always `None` in this build.
#[cfg(not(feature = "cuda"))]
pub fn free_memory(_: &Device) -> Option<usize> {
    None
}

#[cfg(not(feature = "cuda"))]
pub(super) fn keep_freed_memory(_: &Device) -> Result<()> {
    Ok(())
}
