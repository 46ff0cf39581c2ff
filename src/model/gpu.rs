//! What is asked of a GPU's driver beyond tensors: its free memory, and to keep what was freed.

use candle_core::Device;

use crate::error::Result;

/// Lets the driver keep memory that tensors have freed. By default it returns such memory to the system whenever the
/// host waits for the GPU, which a forward does at every layer that is read.
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

/// Bytes that are free on a GPU; `None` where that is not known, or the device is none.
#[cfg(feature = "cuda")]
pub fn free_memory(device: &Device) -> Option<usize> {
    let Device::Cuda(cuda) = device else { return None };
    cuda.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free)
}

/// Bytes that are free on a GPU; this build knows none.
#[cfg(not(feature = "cuda"))]
pub fn free_memory(_: &Device) -> Option<usize> {
    None
}

#[cfg(not(feature = "cuda"))]
pub(super) fn keep_freed_memory(_: &Device) -> Result<()> {
    Ok(())
}
