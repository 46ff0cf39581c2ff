//! `vstar verify`: replies of a model before and after training.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::LoadArgs;
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::config::ModelSettings;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::generation::batches::Size;
use crate::input::read_constitutions;
use crate::run::verify::{Labeller, Policy, Verification, verify as verify_into};
use crate::units::ByteSize;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The model before, or a file of its samples (JSON lines)
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The model after, the folder of a LoRA adapter of the model before, or a file of samples
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// If BEFORE is a file: the model before, which reads the replies for --probe and the divergence
    #[arg(long)]
    pub model: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Prompts to sample replies to: items of any format, or rows with only `prompt` or `messages`
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Read at most this many prompts of each file
    #[arg(long)]
    pub limit: Option<usize>,
    /// Number of replies to each prompt
    #[arg(long, short, default_value_t = 4)]
    pub n: usize,
    /// Maximum number of tokens in a reply
    #[arg(long, default_value_t = 256)]
    pub max_new_tokens: usize,
    /// Random seed of the samples before; the one after is the next number
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Score replies along a direction in the model before, such as runs/a:v_star.harmless; may be given several times
    #[arg(long, value_name = "FILE:NAME[@LAYER]")]
    pub probe: Vec<String>,
    /// A model that scores each reply on its own under --constitution
    #[arg(long, value_name = "MODEL", requires = "constitution")]
    pub labeller: Option<String>,
    /// The constitution by which the labeller scores; its name is the score's
    #[arg(long, value_name = "FILE", requires = "labeller")]
    pub constitution: Option<PathBuf>,
    /// Memory for keys and values while sampling [default: 2GiB]
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Folder for samples and findings
    #[arg(long, default_value = "verify")]
    pub out: PathBuf,
}

/// Compares and prints the findings.
pub fn verify(args: &VerifyArgs) -> Result<()> {
    let model = |name: &str| -> Result<ModelSettings> {
        Ok(ModelSettings { stream: args.load.stream, ..args.load.compute.settings(name)? })
    };
    let before = match samples(&args.before) {
        Some(file) => Policy::Samples(file),
        None => Policy::Model(Box::new(model(&args.before)?)),
    };
    let after = match samples(&args.after) {
        Some(file) => Policy::Samples(file),
        None if is_adapter(Path::new(&args.after)) => {
            let Policy::Model(base) = &before else {
                return Err(Diagnostic::new(
                    Kind::Missing,
                    "an adapter without the model that it is merged into",
                )
                .at(Place::file(&args.after))
                .expected("BEFORE to be that model")
                .into());
            };
            let adapter = Some(PathBuf::from(&args.after));
            Policy::Model(Box::new(ModelSettings { adapter, ..base.as_ref().clone() }))
        }
        None => Policy::Model(Box::new(model(&args.after)?)),
    };
    let labeller = match (&args.labeller, &args.constitution) {
        (Some(name), Some(file)) => {
            let mut all = read_constitutions(std::slice::from_ref(file))?;
            let (Some(constitution), true) = (all.pop(), all.is_empty()) else {
                return Err(Diagnostic::new(Kind::Invalid, "not one constitution")
                    .at(Place::file(file))
                    .expected("the file of one constitution")
                    .into());
            };
            let value = format!("{}-judged", constitution.name);
            Some(Labeller { model: ModelSettings { adapter: None, ..model(name)? }, constitution, value })
        }
        _ => None,
    };
    let job = Verification {
        before,
        after,
        reader: args.model.as_deref().map(model).transpose()?,
        template: args.load.template.clone(),
        data: args.data.clone(),
        limit: args.limit,
        size: Size {
            replies: args.n,
            longest: args.max_new_tokens,
            memory: args.memory.map(|b| b.0 as usize),
        },
        seed: args.seed,
        probes: args.probe.clone(),
        labeller,
        out: args.out.clone(),
    };
    let found = verify_into(&job, &mut Bars::new(), &mut Bars::new())?;
    result(|| serde_json::to_value(&found).expect("plain data serialises"));
    println!("{}", found.page().to_terminal());
    println!("findings in {}", args.out.join("verify.md").display());
    Ok(())
}

/// The path of a file of samples.
fn samples(name: &str) -> Option<PathBuf> {
    name.ends_with(".jsonl").then(|| PathBuf::from(name))
}

/// Whether a folder holds a LoRA adapter, and no model.
fn is_adapter(path: &Path) -> bool {
    path.join("adapter_config.json").is_file() && !path.join("config.json").is_file()
}
