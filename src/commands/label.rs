//! `vstar label`: a model's judgments under a constitution as labels of a value.

use std::path::PathBuf;

use clap::Args;

use super::args::{ModelArgs, one_of};
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::config::{DataSettings, JudgeMode, JudgeTemplateName};
use crate::document::number::counted;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::{ReadOptions, read_constitutions};
use crate::run::labelling::{Labelled, Labelling, label as label_into};
use crate::units::ByteSize;

#[derive(Debug, Args)]
pub struct LabelArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Items of any format, such as those that `vstar sample` writes
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// The constitution that says what is better: a TOML file
    #[arg(long, value_name = "FILE")]
    pub constitution: PathBuf,
    /// Name of the value that the labels are of
    #[arg(long, value_name = "NAME")]
    pub value: String,
    /// Labels in the data to compare with, by the name of their value
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// What the model is asked: pairwise (each pair in both orders), or pointwise (each response alone)
    #[arg(long, value_parser = one_of::<JudgeMode>(), default_value = "pairwise")]
    pub mode: JudgeMode,
    /// Judge template: the name of a built-in one, or a TOML file [default: one that suits model and mode]
    #[arg(long)]
    pub judge: Option<String>,
    /// Maximum number of pairs per prompt [default: all of two responses, a ring of more]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Read at most this many items
    #[arg(long)]
    pub limit: Option<usize>,
    /// Skip items that cannot be read, and report their number
    #[arg(long)]
    pub skip_bad: bool,
    /// Maximum memory of the forward pass in addition to the weights, such as 2GB
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Write the labels even of a model whose choices change with the order of the responses
    #[arg(long)]
    pub force: bool,
    /// File of items to write (JSON lines); judgments of an interrupted job are kept
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Labels and prints a summary.
pub fn label(args: &LabelArgs) -> Result<()> {
    if args.mode == JudgeMode::Implicit {
        return Err(Diagnostic::new(Kind::Unsupported, "labels by likelihood")
            .expected(
                "pairwise or pointwise: how likely a response is under a constitution is no judgment of it",
            )
            .into());
    }
    let mut constitutions = read_constitutions(std::slice::from_ref(&args.constitution))?;
    let (Some(constitution), true) = (constitutions.pop(), constitutions.is_empty()) else {
        return Err(Diagnostic::new(Kind::Invalid, "not one constitution")
            .at(Place::file(&args.constitution))
            .expected("the file of one constitution")
            .into());
    };
    let read = ReadOptions { skip_bad: args.skip_bad, limit: args.limit, value_name: None };
    let job = Labelling {
        model: args.model.settings()?,
        template: args.model.load.template.clone(),
        data: DataSettings { files: args.data.clone(), read },
        constitution,
        value: args.value.clone(),
        against: args.against.clone(),
        mode: args.mode,
        judge: args.judge.as_deref().map(JudgeTemplateName::from),
        max_pairs: args.max_pairs,
        memory: args.memory,
        force: args.force,
        out: args.out.clone(),
    };
    let found = label_into(&job, &mut Bars::new(), &mut Bars::new())?;
    result(|| serde_json::json!({"file": args.out, "labelled": found}));
    for line in summary(&found, &job) {
        println!("{line}");
    }
    println!("{}", args.out.display());
    Ok(())
}

fn percent([n, k]: [usize; 2]) -> String {
    format!("{:.0} % ({k} of {n})", 100.0 * k as f64 / n.max(1) as f64)
}

fn summary(found: &Labelled, job: &Labelling) -> Vec<String> {
    let mut lines = vec![format!(
        "labels of {} for {} to {}: log-odds in nats, with a spread of {:.2} within prompts",
        job.value,
        counted(found.responses as u64, "response"),
        counted(found.items as u64, "prompt"),
        found.spread
    )];
    if let Some(orders) = found.orders {
        lines.push(format!(
            "both orders of a pair agree on {}; {:+.2} nats for the first place",
            percent(orders),
            found.position_bias.unwrap_or(f64::NAN)
        ));
    }
    if let Some(yes) = found.yes {
        lines.push(format!("yes is likelier than no for {:.0} % of them", 100.0 * yes));
    }
    if let (Some(agreement), Some(against)) = (found.agreement, &job.against) {
        lines.push(format!("they order pairs as the labels of {against} do in {}", percent(agreement)));
    }
    if found.unlabelled > 0 {
        lines.push(format!("note: responses without a label: {}", found.unlabelled));
    }
    lines.push("note: these are a model's judgments, not people's: a file that has them says so".to_owned());
    lines
}
