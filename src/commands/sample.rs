//! `vstar sample`: samples responses to prompts from a model.

use std::path::PathBuf;

use clap::Args;

use super::args::ModelArgs;
use super::terminal::bars::Bars;
use super::terminal::numbers::compact;
use super::terminal::out::result;
use crate::document::number::counted;
use crate::error::{Diagnostic, Excerpt, Kind, Place, Result};
use crate::generation::Choice;
use crate::generation::batches::Size;
use crate::input::{Constitution, read_constitutions};
use crate::run::sampling::{Sampled, Sampling, sample as sample_into};
use crate::units::ByteSize;

#[derive(Debug, Args)]
pub struct SampleArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompts: items of any format, whose responses are ignored, or rows with only `prompt` or `messages`
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Read at most this many prompts of each file
    #[arg(long)]
    pub limit: Option<usize>,
    /// A constitution under which the model answers: a TOML file [default: none]
    #[arg(long, value_name = "FILE")]
    pub constitution: Option<PathBuf>,
    /// Number of replies to each prompt
    #[arg(long, short, default_value_t = 4)]
    pub n: usize,
    /// Temperature; 0 chooses the likeliest token. With 1, and without --top-p and --top-k, replies are samples of the
    /// model's own distribution, as the theory's covariances need
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// Keep only the likeliest tokens whose probabilities sum to this share
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f64,
    /// Keep only this many of the likeliest tokens
    #[arg(long)]
    pub top_k: Option<usize>,
    /// Maximum number of tokens in a reply
    #[arg(long, default_value_t = 256)]
    pub max_new_tokens: usize,
    /// A text that ends a reply, beside the model's own ends; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Random seed; a reply depends on it, on the prompt and on the prompt's id
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Memory for keys and values, which decides how many replies are sampled together [default: 2GiB]
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// File of items to write (JSON lines); an interrupted job is continued
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Samples and prints a summary.
pub fn sample(args: &SampleArgs) -> Result<()> {
    let job = Sampling {
        model: args.model.settings()?,
        template: args.model.load.template.clone(),
        data: args.data.clone(),
        limit: args.limit,
        constitution: constitution(args)?,
        choice: Choice { temperature: args.temperature, top_p: args.top_p, top_k: args.top_k },
        size: Size {
            replies: args.n,
            longest: args.max_new_tokens,
            memory: args.memory.map(|b| b.0 as usize),
        },
        stop: args.stop.clone(),
        seed: args.seed,
        out: args.out.clone(),
    };
    let found = sample_into(&job, &mut Bars::new(), &mut Bars::new())?;
    result(|| serde_json::json!({"file": args.out, "sampled": found}));
    for line in summary(&found, &job) {
        println!("{line}");
    }
    println!("{}", args.out.display());
    Ok(())
}

/// The constitution, if one is given.
fn constitution(args: &SampleArgs) -> Result<Option<Constitution>> {
    let Some(path) = args.constitution.as_ref().filter(|path| path.as_os_str() != "none") else {
        return Ok(None);
    };
    let mut all = read_constitutions(std::slice::from_ref(path))?;
    if all.len() > 1 {
        return Err(Diagnostic::new(Kind::Invalid, "several constitutions")
            .at(Place::file(path))
            .expected("one: the model answers under it")
            .found(format!("{} of them", all.len()))
            .remedy("name one file, and sample once for each")
            .into());
    }
    Ok(all.pop())
}

fn summary(found: &Sampled, job: &Sampling) -> Vec<String> {
    let mut lines = vec![format!(
        "{} to {}, {} tokens, {:.1} a response",
        counted(found.replies as u64, "response"),
        counted(found.prompts as u64, "prompt"),
        compact(found.tokens as f64),
        found.tokens as f64 / found.replies.max(1) as f64,
    )];
    let mut note = |count: usize, text: &str| {
        if count > 0 {
            lines.push(format!("note: {text}: {count}"));
        }
    };
    note(found.resumed, "prompts whose replies an interrupted run of the same job had finished");
    note(found.repeated, "rows left out because an earlier row has their prompt");
    note(
        found.cut,
        &format!(
            "replies cut at {} tokens (--max-new-tokens), so that their ends are missing from what is read",
            job.size.longest
        ),
    );
    note(found.empty, "replies left out because they have no text");
    note(found.identical, "replies that repeat another to the same prompt");
    note(
        found.reread,
        "replies read as other tokens than were generated, so that `vstar capture` gives their text another log P",
    );
    note(
        found.folded,
        "prompts with the constitution at the start of the user's message, since the template takes no system message",
    );
    if !job.choice.is_own() {
        lines.push(
            "note: not samples of the model's own distribution, which temperature 1 without top-p and top-k gives"
                .to_owned(),
        );
    }
    if let Some((id, text)) = &found.example {
        lines.push(format!("{id}: “{}”", Excerpt(text)));
    }
    lines
}
