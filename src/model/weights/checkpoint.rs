//! Safetensors files, mapped into memory and validated before tensors are used.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorInfo};

use super::adapter::CONFIG;
use super::files::{Mapped, RequestedTensors, WeightFiles, kept, missing};
use super::{Stored, TensorSource};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::{json, source};

/// A checkpoint on disk: one safetensors file, or the shards named by an index.
pub struct Checkpoint {
    shards: Vec<Shard>,
    tensors: HashMap<String, (usize, TensorInfo)>,
    asked: RequestedTensors,
    dtype: DType,
    device: Device,
}

struct Shard {
    file: Mapped,
    /// Byte offset of the tensor data.
    data: usize,
}

impl Checkpoint {
    /// Opens `model.safetensors` in a folder, or, if there is no such file, the shards of
    /// `model.safetensors.index.json`; tensors are returned in `dtype` on `device`. An index beside a single file is
    /// left over from another checkpoint and is ignored, with a log message.
    ///
    /// # Errors
    /// [`Kind::Missing`] if neither is present, [`Kind::Weights`] for a damaged or hostile file, [`Kind::Unsupported`]
    /// for a folder with an adapter.
    pub fn open(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let files = files(folder)?;
        Self::from_files(&files, dtype, device)
    }

    /// Opens these files as one checkpoint.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a damaged or hostile file, or a tensor that is in two files.
    pub fn from_files(files: &[PathBuf], dtype: DType, device: &Device) -> Result<Self> {
        let mut shards = Vec::with_capacity(files.len());
        let mut tensors = HashMap::new();
        for path in files {
            let file = Mapped::open(path)?;
            let (header, metadata) =
                SafeTensors::read_metadata(file.whole()).map_err(|e| damaged(path, &e))?;
            let shard = shards.len();
            for (name, info) in metadata.tensors() {
                if tensors.insert(name.clone(), (shard, info.clone())).is_some() {
                    return Err(Diagnostic::new(
                        Kind::Weights,
                        "the tensor stands in two files of the checkpoint",
                    )
                    .at(Place::file(path).id(name))
                    .remedy("keep only the shards that the index names")
                    .into());
                }
            }
            shards.push(Shard { file, data: header + 8 });
        }
        Ok(Self { shards, tensors, asked: RequestedTensors::default(), dtype, device: device.clone() })
    }

    /// The stored dtypes of the weights, with the number of tensors of each.
    pub fn stored_dtypes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, info) in self.tensors.values() {
            *counts.entry(format!("{:?}", info.dtype)).or_insert(0) += 1;
        }
        counts
    }
}

impl WeightFiles for Checkpoint {
    fn paths(&self) -> Vec<&Path> {
        self.shards.iter().map(|s| s.file.path()).collect()
    }

    fn parameters(&self) -> usize {
        self.tensors.values().map(|(_, info)| info.shape.iter().product::<usize>()).sum()
    }

    fn unused(&self) -> Vec<String> {
        let buffer = |name: &str, info: &TensorInfo| {
            let mask =
                [".attn.bias", ".attention.bias"].iter().any(|s| name.ends_with(s)) && info.shape.len() == 4;
            mask || name.ends_with(".masked_bias") || name.ends_with("rotary_emb.inv_freq")
        };
        let unused: BTreeSet<_> = self
            .tensors
            .iter()
            .filter(|(name, (_, info))| !self.asked.contains(name) && !buffer(name, info))
            .map(|(name, _)| name.clone())
            .collect();
        unused.into_iter().collect()
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
        self.read(name, shape, None, |stored| kept(stored, self.dtype, &self.device))
    }

    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        self.read(name, shape, Some((start, len)), |stored| kept(stored, self.dtype, &self.device))
    }

    fn stored(&self) -> BTreeMap<String, Stored> {
        let of = |name: String| {
            let (_, info) = self.tensors.get(&name)?;
            let bits = 8 * (info.data_offsets.1 - info.data_offsets.0) as u64;
            Some((name, Stored { parameters: info.shape.iter().product(), bits }))
        };
        self.asked.names().into_iter().filter_map(of).collect()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl Checkpoint {
    /// A tensor, or some of its rows; `dtype` maps the stored dtype to that of the result.
    fn read(
        &self,
        name: &str,
        shape: &[usize],
        rows: Option<(usize, usize)>,
        dtype: impl Fn(DType) -> DType,
    ) -> Result<Tensor> {
        let Some((shard, info)) = self.tensors.get(name) else {
            let place = self.shards.first().map_or_else(Place::default, |s| Place::file(s.file.path()));
            return Err(missing(name, shape, place, self.tensors.keys()));
        };
        self.asked.note(name);
        let shard = &self.shards[*shard];
        let wrong = |expected: String, found: String| {
            Diagnostic::new(Kind::Weights, "a tensor is not what the config promises")
                .at(Place::file(shard.file.path()).id(name))
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
        let tensor = shard.file.read(shard.data + start..shard.data + end, |bytes| {
            Ok(Tensor::from_raw_buffer(bytes, stored, &shape, &Device::Cpu)?)
        })?;
        Ok(tensor.to_dtype(dtype(stored))?.to_device(&self.device)?)
    }
}

fn damaged(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    Diagnostic::new(Kind::Weights, "not a whole safetensors file")
        .at(Place::file(path))
        .expected("a header, then exactly the tensors it lists, back to back")
        .found(error.to_string())
        .remedy("fetch the file again; a download may have been cut off")
        .into()
}

/// Refuses a folder with an adapter: its base weights alone are a different model, and the base model may be elsewhere.
fn adapter(folder: &Path) -> Result<()> {
    let config = folder.join(CONFIG);
    if !config.is_file() {
        return Ok(());
    }
    let json = source::read_text(&config, source::SMALL).ok().and_then(|text| json::parse(&text).ok());
    let base = json.as_ref().and_then(|j| j.get("base_model_name_or_path")?.as_str().map(str::to_owned));
    let beside =
        ["model.safetensors", "model.safetensors.index.json"].iter().any(|f| folder.join(f).is_file());
    Err(Diagnostic::new(Kind::Unsupported, "the folder holds an adapter (LoRA or the like)")
        .at(Place::file(&config))
        .expected("whole weights, and nothing that is to be added to them")
        .found(match (base, beside) {
            (Some(base), true) => format!("base weights with an adapter beside them, made for `{base}`"),
            (Some(base), false) => format!("an adapter for `{base}`"),
            (None, true) => "base weights with an adapter beside them".to_owned(),
            (None, false) => "an adapter without its base weights".to_owned(),
        })
        .remedy(
            "give the base model as --model and this folder as --adapter, or merge it: `AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained(new)`; to \
             measure the base weights alone, move the adapter's files away",
        )
        .into())
}

/// The safetensors files of a folder in Hugging Face layout.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    adapter(folder)?;
    if single.is_file() {
        if index.is_file() {
            tracing::warn!(
                "{} is read, and the shards that {} names are not: transformers reads these weights in this order",
                single.display(),
                index.display()
            );
        }
        return Ok(vec![single]);
    }
    if !index.is_file() {
        let pickled = folder.join("pytorch_model.bin").is_file();
        return Err(Diagnostic::new(Kind::Missing, "no weights in safetensors format")
            .at(Place::file(folder))
            .expected("model.safetensors, or model.safetensors.index.json with its shards")
            .found(if pickled { "pytorch_model.bin, a pickle" } else { "neither" })
            .remedy("convert the checkpoint with `save_pretrained(..., safe_serialization=True)`")
            .into());
    }
    let text = source::read_text(&index, source::LARGE)?;
    let names = shard_names(&text, &index)?;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = folder.join(&name);
        if !path.is_file() {
            return Err(Diagnostic::new(Kind::Missing, "a shard is not there")
                .at(Place::file(&path))
                .expected(format!("the file that {} names", index.display()))
                .remedy("fetch the missing shard")
                .into());
        }
        files.push(path);
    }
    Ok(files)
}

/// The files named by an index, all of them beside it.
///
/// # Errors
/// [`Kind::Weights`] for an index that is malformed, empty, or refers to a file elsewhere.
pub(crate) fn shard_names(text: &str, index: &Path) -> Result<BTreeSet<String>> {
    let malformed = |what: &str, found: String| {
        Diagnostic::new(Kind::Weights, what)
            .at(Place::file(index))
            .expected("{\"weight_map\": {tensor name: file name}}")
            .found(found)
    };
    let json: serde_json::Value =
        json::parse(text).map_err(|e| malformed("the index is not JSON", e.to_string()))?;
    let Some(map) = json.get("weight_map").and_then(|m| m.as_object()) else {
        return Err(malformed("the index has no weight map", "no such key, or no object".into()).into());
    };
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        let Some(file) = file.as_str() else {
            return Err(malformed("a file name is not a string", format!("{tensor}: {file}")).into());
        };
        // A shard must be beside its index: anything else may point outside the folder.
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
