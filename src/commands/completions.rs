//! `vstar completions` and `vstar man`: shell completions and the manual page.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    pub shell: Shell,
}

/// Prints the completions for a shell.
pub fn completions(args: &CompletionsArgs) {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vstar", &mut out);
    println!("{}", String::from_utf8_lossy(&out).trim_end());
}

/// Prints the manual page.
pub fn man() -> Result<()> {
    let mut out = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut out)
        .map_err(|e| Error::io("write", std::path::Path::new("the manual page"), e))?;
    println!("{}", String::from_utf8_lossy(&out).trim_end());
    Ok(())
}
