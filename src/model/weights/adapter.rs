//! LoRA adapters, merged into the weights as these are read.
//!
//! An adapter in PEFT's layout is a folder with `adapter_config.json` and `adapter_model.safetensors`. It holds two matrices for
//! each module it changes, A `[r, in]` and B `[out, r]`, and the merged weight is W + s B A with s = α / r (`lora_alpha` over the
//! rank; α / √r with `use_rslora`). Where the base stores linear weights transposed (GPT-2), so is B A.
//!
//! The sum is computed in f32 and rounded to the dtype of the computation; so is W before it, where the file is wider.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::{Stored, TensorSource};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::{artifact, json, source};

/// Name of an adapter's config in its folder.
pub(super) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Prefix of all names in an adapter's weights.
const PREFIX: &str = "base_model.model.";

/// What `adapter_config.json` says about merging.
#[derive(Debug, Deserialize)]
struct Config {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: Option<bool>,
    #[serde(default)]
    alpha_pattern: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    rank_pattern: Option<BTreeMap<String, usize>>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl Config {
    /// The first key that changes what the adapter computes in a way that is not followed here.
    fn not_followed(&self) -> Option<String> {
        const KEYS: [&str; 10] = [
            "use_dora",
            "use_qalora",
            "lora_bias",
            "layer_replication",
            "alora_invocation_tokens",
            "trainable_token_indices",
            "target_parameters",
            "modules_to_save",
            "arrow_config",
            "loftq_config",
        ];
        let set = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        };
        let key =
            KEYS.iter().find(|key| self.others.get(**key).is_some_and(set)).map(|key| (*key).to_owned());
        let bias = self.others.get("bias").and_then(Value::as_str).filter(|bias| *bias != "none");
        // These initialisations change the base weights as well, which PEFT repeats on loading.
        let plain = ["gaussian", "eva", "orthogonal"];
        let init =
            self.others.get("init_lora_weights").and_then(Value::as_str).filter(|i| !plain.contains(i));
        key.or(bias.map(|bias| format!("bias = {bias}")))
            .or(init.map(|init| format!("init_lora_weights = {init}")))
    }

    /// A key of a pattern that is a regular expression and not a name: names alone are followed.
    fn expression(&self) -> Option<&str> {
        let alphas = self.alpha_pattern.iter().flat_map(|p| p.keys());
        let mut keys = alphas.chain(self.rank_pattern.iter().flat_map(|p| p.keys()));
        keys.find(|key| !key.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))).map(String::as_str)
    }

    /// The entry of a pattern for a module: its name, or the end of it from a dot on.
    fn of<T: Copy>(pattern: Option<&BTreeMap<String, T>>, module: &str) -> Option<T> {
        let fits =
            |key: &str| module.strip_suffix(key).is_some_and(|head| head.is_empty() || head.ends_with('.'));
        pattern.into_iter().flatten().find(|(key, _)| fits(key)).map(|(_, value)| *value)
    }
}

/// An adapter's matrices.
#[derive(Debug)]
pub struct Adapter {
    path: PathBuf,
    config: Config,
    sha256: String,
    /// By the name of the module: A and B, in f32.
    modules: BTreeMap<String, (Tensor, Tensor)>,
}

impl Adapter {
    /// Reads an adapter's folder.
    ///
    /// # Errors
    /// [`Kind::Missing`] without its two files; [`Kind::Malformed`] for a config or weights that do not parse;
    /// [`Kind::Unsupported`] for adapters other than LoRA on linear layers, by the name of what is not computed.
    pub fn open(folder: &Path) -> Result<Self> {
        let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
        for file in [&config, &weights] {
            if !file.is_file() {
                return Err(Diagnostic::new(Kind::Missing, "not an adapter's folder")
                    .at(Place::file(file))
                    .expected(format!("{CONFIG} and {WEIGHTS}, as PEFT saves them"))
                    .found("no such file")
                    .into());
            }
        }
        let refuse = |what: String| {
            Diagnostic::new(Kind::Unsupported, what)
                .at(Place::file(&config))
                .expected("LoRA on linear layers")
                .remedy("merge it with PEFT (`merge_and_unload`), and give the merged folder as the model")
        };
        let text = source::read_text(&config, source::SMALL)?;
        let malformed = |found: String| {
            Diagnostic::new(Kind::Malformed, "the adapter's config cannot be read")
                .at(Place::file(&config))
                .expected("an object with `peft_type`, `r` and `lora_alpha`")
                .found(found)
        };
        let value = json::parse(&text).map_err(|fault| malformed(fault.to_string()))?;
        let config_text: Config = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        if config_text.peft_type != "LORA" {
            return Err(refuse(format!("an adapter of type {}", config_text.peft_type)).into());
        }
        if let Some(key) = config_text.not_followed() {
            return Err(refuse(format!("an adapter with `{key}`")).into());
        }
        if let Some(key) = config_text.expression() {
            return Err(
                refuse(format!("a pattern of the adapter that is a regular expression, `{key}`")).into()
            );
        }
        if config_text.r == 0 || !config_text.lora_alpha.is_finite() {
            return Err(Diagnostic::new(Kind::Invalid, "the adapter's rank or `lora_alpha`")
                .at(Place::file(&config))
                .expected("a rank above 0 and a finite number")
                .found(format!("r = {}, lora_alpha = {}", config_text.r, config_text.lora_alpha))
                .into());
        }
        let all = candle_core::safetensors::load(&weights, &Device::Cpu).map_err(|e| {
            Diagnostic::new(Kind::Malformed, "the adapter's weights cannot be read")
                .at(Place::file(&weights))
                .found(e.to_string())
        })?;
        let mut halves: BTreeMap<String, [Option<Tensor>; 2]> = BTreeMap::new();
        for (name, tensor) in all {
            let module = name.strip_prefix(PREFIX).unwrap_or(&name);
            let part = module
                .strip_suffix(".lora_A.weight")
                .map(|m| (m, 0))
                .or_else(|| module.strip_suffix(".lora_B.weight").map(|m| (m, 1)));
            let Some((module, half)) = part.filter(|_| tensor.rank() == 2) else {
                return Err(refuse(format!("the adapter's tensor `{name}`")).into());
            };
            halves.entry(module.to_owned()).or_default()[half] = Some(tensor.to_dtype(DType::F32)?);
        }
        let mut modules = BTreeMap::new();
        for (module, halves) in halves {
            let [Some(a), Some(b)] = halves else {
                return Err(Diagnostic::new(
                    Kind::Weights,
                    format!("`{module}` has one of lora_A and lora_B"),
                )
                .at(Place::file(&weights))
                .expected("both")
                .into());
            };
            if a.dim(0)? != b.dim(1)? || a.dim(0)? == 0 {
                return Err(Diagnostic::new(Kind::Weights, format!("the ranks of `{module}` differ"))
                    .at(Place::file(&weights))
                    .expected("lora_A [r, in] and lora_B [out, r]")
                    .found(format!("{:?} and {:?}", a.dims(), b.dims()))
                    .into());
            }
            let rank = Config::of(config_text.rank_pattern.as_ref(), &module).unwrap_or(config_text.r);
            if a.dim(0)? != rank {
                return Err(Diagnostic::new(Kind::Weights, format!("the rank of `{module}`"))
                    .at(Place::file(&weights))
                    .expected(format!("{rank}, as the config says"))
                    .found(a.dim(0)?.to_string())
                    .into());
            }
            modules.insert(module, (a, b));
        }
        if modules.is_empty() {
            return Err(Diagnostic::new(Kind::Weights, "the adapter changes nothing")
                .at(Place::file(&weights))
                .expected("tensors MODULE.lora_A.weight and MODULE.lora_B.weight")
                .into());
        }
        let sha256 = artifact::sha256(
            format!("{} {}", artifact::sha256_file(&config)?, artifact::sha256_file(&weights)?).as_bytes(),
        );
        Ok(Self { path: folder.to_owned(), config: config_text, sha256, modules })
    }

    /// SHA-256 of the hashes of its two files.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The base model that the adapter was made for, as its config names it.
    pub fn base(&self) -> Option<&str> {
        self.config.base_model_name_or_path.as_deref()
    }

    /// The module whose weight has this name in the base model: the same, or the same without the first part of one of
    /// them (`model.`, `transformer.`), which checkpoints saved from the inner model lack.
    fn module(&self, name: &str) -> Option<&str> {
        let module = name.strip_suffix(".weight")?;
        let found = self.modules.get_key_value(module).map(|(key, _)| key.as_str());
        found.or_else(|| self.modules.keys().map(String::as_str).find(|key| inner(key) == Some(module)))
    }

    /// s of a module: its own α, or the config's, over its rank.
    fn scale(&self, module: &str, rank: usize) -> f64 {
        let alpha = Config::of(self.config.alpha_pattern.as_ref(), module).unwrap_or(self.config.lora_alpha);
        let rank = rank as f64;
        alpha / if self.config.use_rslora == Some(true) { rank.sqrt() } else { rank }
    }

    /// s B A of a weight of this name and shape, in f32; `None` if the adapter does not change it.
    fn delta(&self, name: &str, shape: &[usize], transposed: bool) -> Result<Option<Tensor>> {
        let Some(module) = self.module(name) else { return Ok(None) };
        let (a, b) = &self.modules[module];
        let delta = (b.matmul(a)? * self.scale(module, a.dim(0)?))?;
        // A NaN or an infinity in A or B spreads to the sum of the product.
        let sum = delta.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?;
        if !sum.is_finite() {
            return Err(Diagnostic::new(
                Kind::NotFinite,
                format!("NaN or infinity in the adapter's `{module}`"),
            )
            .at(Place::file(&self.path))
            .expected("finite matrices A and B whose product is finite in f32")
            .remedy("its training diverged: take an earlier checkpoint")
            .into());
        }
        let delta = if transposed { delta.t()?.contiguous()? } else { delta };
        if delta.dims() != shape {
            return Err(Diagnostic::new(Kind::Weights, format!("the adapter does not fit `{module}`"))
                .at(Place::file(&self.path))
                .expected(format!("{shape:?}, the shape of the model's weight"))
                .found(format!(
                    "{:?}, made for `{}`",
                    delta.dims(),
                    self.base().unwrap_or("an unnamed model")
                ))
                .remedy("give the base model that the adapter was trained on")
                .into());
        }
        Ok(Some(delta))
    }
}

/// A module's name without its first part (`model.`, `transformer.`), as in a checkpoint of the inner model.
fn inner(module: &str) -> Option<&str> {
    module.split_once('.').map(|(_, rest)| rest)
}

/// A model's weights with an adapter merged into them on reading.
pub struct Adapted {
    inner: Arc<dyn TensorSource + Send + Sync>,
    adapter: Adapter,
    /// Whether the base stores linear weights as [in, out].
    transposed: bool,
}

impl Adapted {
    /// Merges `adapter` into what `inner` gives. `transposed`: whether the family stores linear weights as [in, out], as
    /// GPT-2 does; what the adapter's config says of it (`fan_in_fan_out`) is not read, since PEFT overrides it too.
    pub fn new(inner: Arc<dyn TensorSource + Send + Sync>, adapter: Adapter, transposed: bool) -> Self {
        Self { inner, adapter, transposed }
    }

    /// Checks that the model has a weight for every module of the adapter.
    ///
    /// # Errors
    /// [`Kind::Weights`] naming those that it does not have.
    pub fn check(&self) -> Result<()> {
        let there = |module: &str| {
            let names = [Some(module), inner(module)];
            names.into_iter().flatten().any(|name| self.inner.contains(&format!("{name}.weight")))
        };
        let left: Vec<&str> =
            self.adapter.modules.keys().map(String::as_str).filter(|module| !there(module)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let what = format!("the adapter changes {} modules that the model does not have", left.len());
        Err(Diagnostic::new(Kind::Weights, what)
            .at(Place::file(&self.adapter.path))
            .expected("modules of the model")
            .found(left.into_iter().take(4).collect::<Vec<_>>().join(", "))
            .remedy("give the base model that the adapter was trained on")
            .into())
    }

    fn merged(
        &self,
        name: &str,
        whole: &[usize],
        rows: Option<(usize, usize)>,
        base: Tensor,
    ) -> Result<Tensor> {
        let Some(delta) = self.adapter.delta(name, whole, self.transposed)? else { return Ok(base) };
        let delta = match rows {
            Some((start, len)) => delta.narrow(0, start, len)?,
            None => delta,
        };
        let sum = (base.to_device(&Device::Cpu)?.to_dtype(DType::F32)? + delta)?;
        Ok(sum.to_dtype(self.inner.dtype())?.to_device(self.inner.device())?)
    }
}

impl TensorSource for Adapted {
    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.merged(name, shape, None, self.inner.tensor(name, shape)?)
    }

    fn dtype(&self) -> DType {
        self.inner.dtype()
    }

    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.merged(name, shape, None, self.inner.matrix(name, shape)?)
    }

    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        self.merged(name, shape, Some((start, len)), self.inner.rows(name, shape, start, len)?)
    }

    fn stored(&self) -> BTreeMap<String, Stored> {
        self.inner.stored()
    }
}
