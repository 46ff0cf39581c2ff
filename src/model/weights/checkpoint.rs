//! Safetensors files, mapped into memory and checked before a tensor is believed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::TensorInfo};

use super::{Stored, TensorSource};
use crate::error::{Error, Kind, Place, Refusal, Result};

/// A checkpoint on disk: one safetensors file, or the shards an index names.
pub struct Checkpoint {
    shards: Vec<Shard>,
    tensors: HashMap<String, (usize, TensorInfo)>,
    asked: Mutex<BTreeSet<String>>,
    dtype: DType,
    device: Device,
}

struct Shard {
    path: PathBuf,
    file: File,
    map: Mmap,
    /// Byte at which tensor data begins.
    data: usize,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or the shards of `model.safetensors.index.json`, in a folder; tensors
    /// will be handed out in `dtype` on `device`.
    ///
    /// # Errors
    /// [`Kind::Missing`] if neither is there, [`Kind::Weights`] for a damaged or hostile file.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let files = files(folder)?;
        Self::from_files(&files, dtype, device)
    }

    /// Opens these files as one checkpoint.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a damaged or hostile file, or a tensor that stands in two files.
    pub fn from_files(files: &[PathBuf], dtype: DType, device: &Device) -> Result<Self> {
        let mut shards = Vec::with_capacity(files.len());
        let mut tensors = HashMap::new();
        for path in files {
            let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
            // SAFETY: the map is read-only; a file that another process truncates while it is mapped
            // faults, as with every memory-mapped checkpoint, and cannot be guarded against here.
            let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
            let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| damaged(path, &e))?;
            let shard = shards.len();
            for (name, info) in metadata.tensors() {
                if tensors.insert(name.clone(), (shard, info.clone())).is_some() {
                    return Err(Refusal::new(
                        Kind::Weights,
                        "the tensor stands in two files of the checkpoint",
                    )
                    .at(Place::file(path).id(name))
                    .remedy("keep only the shards that the index names")
                    .into());
                }
            }
            shards.push(Shard { path: path.clone(), file, map, data: header + 8 });
        }
        Ok(Self { shards, tensors, asked: Mutex::default(), dtype, device: device.clone() })
    }

    /// The files of this checkpoint.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|s| s.path.as_path())
    }

    /// Number of parameters in the checkpoint.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|(_, info)| info.shape.iter().product::<usize>()).sum()
    }

    /// Tensors nobody asked for, by name: a forward that ignores a weight deserves a look. Buffers that old
    /// checkpoints carry and that follow from the config (causal masks, rotary frequencies) do not count.
    pub fn unused(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let buffer = |name: &str, info: &TensorInfo| {
            let mask =
                [".attn.bias", ".attention.bias"].iter().any(|s| name.ends_with(s)) && info.shape.len() == 4;
            mask || name.ends_with(".masked_bias") || name.ends_with("rotary_emb.inv_freq")
        };
        let unused: BTreeSet<_> = self
            .tensors
            .iter()
            .filter(|(name, (_, info))| !asked.contains(*name) && !buffer(name, info))
            .map(|(name, _)| name.clone())
            .collect();
        unused.into_iter().collect()
    }

    /// The dtypes the weights are stored in, with the number of tensors of each.
    pub fn stored_dtypes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, info) in self.tensors.values() {
            *counts.entry(format!("{:?}", info.dtype)).or_insert(0) += 1;
        }
        counts
    }
}

impl TensorSource for Checkpoint {
    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read(name, shape, None, |_| self.dtype)
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read(name, shape, None, |stored| self.kept(stored))
    }

    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        self.read(name, shape, Some((start, len)), |stored| self.kept(stored))
    }

    fn stored(&self) -> BTreeMap<String, Stored> {
        let asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of = |name: &String| {
            let (_, info) = self.tensors.get(name)?;
            let bits = 8 * (info.data_offsets.1 - info.data_offsets.0) as u64;
            Some((name.clone(), Stored { parameters: info.shape.iter().product(), bits }))
        };
        asked.iter().filter_map(of).collect()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl Checkpoint {
    /// The dtype in which a matrix rests: on the CPU, f32 is computed from narrower weights as they are.
    fn kept(&self, stored: DType) -> DType {
        let narrow = matches!(stored, DType::BF16 | DType::F16);
        if self.device.is_cpu() && self.dtype == DType::F32 && narrow { stored } else { self.dtype }
    }

    /// A tensor, or some of its rows, in the dtype that `dtype` gives for the stored one.
    fn read(
        &self,
        name: &str,
        shape: &[usize],
        rows: Option<(usize, usize)>,
        dtype: impl Fn(DType) -> DType,
    ) -> Result<Tensor> {
        let Some((shard, info)) = self.tensors.get(name) else {
            return Err(self.missing(name, shape));
        };
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned());
        let shard = &self.shards[*shard];
        let wrong = |expected: String, found: String| {
            Refusal::new(Kind::Weights, "a tensor is not what the config promises")
                .at(Place::file(&shard.path).id(name))
                .expected(expected)
                .found(found)
                .remedy("take config.json and weights from the same revision")
        };
        if info.shape != shape {
            return Err(wrong(format!("shape {shape:?}"), format!("shape {:?}", info.shape)).into());
        }
        let stored = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            Dtype::F64 => DType::F64,
            other => return Err(wrong("dtype F32, BF16, F16 or F64".into(), format!("{other:?}")).into()),
        };
        let (mut start, mut end) = info.data_offsets;
        let mut shape = shape.to_vec();
        if let Some((first, len)) = rows {
            let row = shape[1..].iter().product::<usize>() * stored.size_in_bytes();
            (start, end) = (start + first * row, start + (first + len) * row);
            shape[0] = len;
        }
        let bytes = shard.bytes(shard.data + start..shard.data + end)?;
        let tensor = Tensor::from_raw_buffer(&bytes, stored, &shape, &Device::Cpu)?;
        drop(bytes);
        shard.release(shard.data + start..shard.data + end);
        Ok(tensor.to_dtype(dtype(stored))?.to_device(&self.device)?)
    }
}

/// Ranges from this size on are read through the map; a smaller one would fault in its neighbours, which
/// adds up where single rows of a large matrix are wanted.
const MAPPED: usize = 1 << 20;

impl Shard {
    fn bytes(&self, range: std::ops::Range<usize>) -> Result<Cow<'_, [u8]>> {
        #[cfg(unix)]
        if range.len() < MAPPED {
            let mut bytes = vec![0; range.len()];
            std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut bytes, range.start as u64)
                .map_err(|e| Error::io("read", &self.path, e))?;
            return Ok(Cow::Owned(bytes));
        }
        Ok(Cow::Borrowed(&self.map[range]))
    }

    /// Lets go of mapped pages that have been copied out, so that the weights are in memory once.
    fn release(&self, range: std::ops::Range<usize>) {
        #[cfg(unix)]
        if range.len() >= MAPPED {
            // SAFETY: the map is a read-only view of a file; pages let go of are read again from there.
            let released = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            if let Err(e) = released {
                tracing::debug!(error = %e, "mapped weights stay in memory");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Checkpoint {
    fn missing(&self, name: &str, shape: &[usize]) -> Error {
        let nearest = self
            .tensors
            .keys()
            .map(|k| (strsim::normalized_levenshtein(k, name), k))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
            .map_or_else(|| "an empty checkpoint".to_owned(), |(_, k)| format!("nearest name: {k}"));
        let place = self.shards.first().map_or_else(Place::default, |s| Place::file(&s.path));
        Refusal::new(Kind::Weights, "the checkpoint lacks a tensor")
            .at(place.id(name))
            .expected(format!("shape {shape:?}"))
            .found(format!("{} tensors, {nearest}", self.tensors.len()))
            .remedy("check that all shards are there and that config.json belongs to them")
            .into()
    }
}

fn damaged(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    Refusal::new(Kind::Weights, "not a whole safetensors file")
        .at(Place::file(path))
        .expected("a header, then exactly the tensors it lists, back to back")
        .found(error.to_string())
        .remedy("fetch the file again; a download may have been cut off")
        .into()
}

/// The safetensors files of a folder in Hugging Face layout.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        if single.is_file() {
            return Ok(vec![single]);
        }
        let pickled = folder.join("pytorch_model.bin").is_file();
        return Err(Refusal::new(Kind::Missing, "no weights in safetensors format")
            .at(Place::file(folder))
            .expected("model.safetensors, or model.safetensors.index.json with its shards")
            .found(if pickled { "pytorch_model.bin, a pickle" } else { "neither" })
            .remedy("convert the checkpoint with `save_pretrained(..., safe_serialization=True)`")
            .into());
    }
    let text = std::fs::read_to_string(&index).map_err(|e| Error::io("read", &index, e))?;
    let names = shard_names(&text, &index)?;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = folder.join(&name);
        if !path.is_file() {
            return Err(Refusal::new(Kind::Missing, "a shard is not there")
                .at(Place::file(&path))
                .expected(format!("the file that {} names", index.display()))
                .remedy("fetch the missing shard")
                .into());
        }
        files.push(path);
    }
    Ok(files)
}

/// The files that an index names, all of them beside it.
///
/// # Errors
/// [`Kind::Weights`] for an index that is malformed, empty, or names a file elsewhere.
pub(crate) fn shard_names(text: &str, index: &Path) -> Result<BTreeSet<String>> {
    let malformed = |what: &str, found: String| {
        Refusal::new(Kind::Weights, what)
            .at(Place::file(index))
            .expected("{\"weight_map\": {tensor name: file name}}")
            .found(found)
    };
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|e| malformed("the index is not JSON", e.to_string()))?;
    let Some(map) = json.get("weight_map").and_then(|m| m.as_object()) else {
        return Err(malformed("the index has no weight map", "no such key, or no object".into()).into());
    };
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let Some(file) = file.as_str() else {
            return Err(malformed("a file name is not a string", format!("{tensor}: {file}")).into());
        };
        // A shard lies beside its index: anything else may point out of the folder.
        let mut components = Path::new(file).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            return Err(malformed("the index names a file outside its folder", file.to_owned()).into());
        }
        names.insert(file.to_owned());
    }
    if names.is_empty() {
        return Err(malformed("the index names no file", "an empty weight_map".into()).into());
    }
    Ok(names)
}
