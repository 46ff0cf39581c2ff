//! Prints the token ids of strings, as the tokenizer in a GGUF file's metadata gives them.
//!
//! usage: `encode FILE.gguf < strings.json > ids.json` (a JSON list of strings; a JSON list of lists of ids)

#![allow(clippy::print_stdout)]

use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use vstar::model::gguf::{GgufText, Metadata};
use vstar::model::text::TextEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("usage: encode FILE.gguf < strings.json")?;
    let content = Content::read(&mut std::io::BufReader::new(std::fs::File::open(&name)?))?;
    let text = GgufText::read(&Metadata::new(&name, content.metadata))?;
    let encoder = TextEncoder::from_tokenizer(text.tokenizer, Path::new(&name), text.bos);
    let strings: Vec<String> = serde_json::from_reader(std::io::stdin())?;
    let ids = strings.iter().map(|s| encoder.encode(s)).collect::<vstar::error::Result<Vec<_>>>()?;
    println!("{}", serde_json::to_string(&ids)?);
    Ok(())
}
