//! `vstar preview`: items as the model will read them.

use clap::Args;

use super::args::{DataArgs, ModelArgs};
use super::terminal::bars::Bars;
use crate::capture::job::{encode_one, placed};
use crate::config::CaptureSettings;
use crate::error::{Error, Result};
use crate::input::read_constitutions;
use crate::run::capture::{CaptureOptions, Prepared};
use crate::units::{Layer, LayerList};

#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// How many items to show
    #[arg(long, default_value_t = 2)]
    pub show: usize,
}

/// Shows text and tokens of a few items under each constitution; then counts what cannot be read.
pub fn preview(args: &PreviewArgs) -> Result<()> {
    let (constitutions, bare) = args.data.constitutions();
    let constitutions = read_constitutions(&constitutions)?;
    let options = CaptureOptions {
        model: args.model.settings()?,
        data: args.data.settings(),
        capture: CaptureSettings {
            template: args.model.load.template.clone(),
            layers: LayerList::These(vec![Layer(0)]),
            ..CaptureSettings::default()
        },
        constitutions,
        bare,
    };
    let prepared = Prepared::fetched(&options, &mut Bars::new())?;
    let model = &prepared.model;
    for (c, constitution) in prepared.constitutions.iter().enumerate() {
        for item in prepared.items.items.iter().take(args.show) {
            for response in 0..item.responses.len() {
                println!("── {} · response {response} · constitution {}", item.id, prepared.name(c));
                let text = constitution.as_ref().map(|c| c.text.as_str());
                match encode_one(model, &prepared.template, item, response, text) {
                    Ok((encoded, rendered)) => {
                        let (before, rest) = rendered.text.split_at(rendered.response.start);
                        let (inside, after) = rest.split_at(rendered.response.len());
                        println!("{before}⟦{inside}⟧{after}");
                        let spell = |id: &u32| format!("{:?}", model.encoder.token(*id).unwrap_or_default());
                        let tokens: Vec<String> = encoded.ids.iter().map(spell).collect();
                        let span = encoded.response;
                        println!(
                            "{} tokens, response [{}, {}): {}\n",
                            tokens.len(),
                            span.start,
                            span.end,
                            tokens[span.start..span.end].join(" ")
                        );
                    }
                    Err(Error::Diagnostic(diagnostic)) => println!("refused: {diagnostic}\n"),
                    Err(e) => return Err(e),
                }
            }
        }
    }
    lint(&prepared)
}

/// Every row that cannot be read, and texts that begin with two beginning-of-sequence tokens.
fn lint(prepared: &Prepared) -> Result<()> {
    let (mut rows, mut bad, mut doubled) = (0, 0, 0);
    for (c, constitution) in prepared.constitutions.iter().enumerate() {
        for item in &prepared.items.items {
            for response in 0..item.responses.len() {
                rows += 1;
                let text = constitution.as_ref().map(|c| c.text.as_str());
                match encode_one(&prepared.model, &prepared.template, item, response, text) {
                    Ok((encoded, _)) => {
                        if let (Some(bos), [first, second, ..]) =
                            (prepared.model.encoder.bos(), &encoded.ids[..])
                        {
                            doubled += usize::from(*first == bos && *second == bos);
                        }
                    }
                    Err(e) => {
                        bad += 1;
                        println!("{}", placed(e, item, response, prepared.name(c)));
                    }
                }
            }
        }
    }
    println!("{rows} rows, {bad} cannot be read, {doubled} begin with two beginning-of-sequence tokens");
    Ok(())
}
