//! `sesame completions` and `sesame man`: what a packager installs beside the program.

use anyhow::Result;
use clap::Command;

use crate::exit::ExitStatus;
use crate::output::Output;

/// Flags of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Prints the completions for a shell.
///
/// # Errors
/// When they cannot be printed.
pub fn completions(args: &CompletionsArgs, mut program: Command, output: &Output) -> Result<ExitStatus> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "sesame", &mut text);
    output.data(&String::from_utf8_lossy(&text))?;
    Ok(ExitStatus::Success)
}

/// Prints the man page: the program, then each command with its flags.
///
/// # Errors
/// When it cannot be printed.
pub fn page(mut command: Command, output: &Output) -> Result<ExitStatus> {
    let mut text = Vec::new();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let page = clap_mangen::Man::new(sub.clone());
        text.extend_from_slice(format!(".SH COMMAND sesame {}\n", sub.get_name()).as_bytes());
        page.render_description_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
        for verb in sub.get_subcommands().filter(|c| c.get_name() != "help") {
            let page = clap_mangen::Man::new(verb.clone());
            text.extend_from_slice(format!(".SH COMMAND sesame {} {}\n", sub.get_name(), verb.get_name()).as_bytes());
            page.render_description_section(&mut text)?;
            page.render_options_section(&mut text)?;
        }
    }
    output.data(&String::from_utf8_lossy(&text))?;
    Ok(ExitStatus::Success)
}
