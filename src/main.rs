//! The command `sesame`.

use std::process::ExitCode;

use clap::Parser;
use sesame::cli::{Cli, Command};
use sesame::command;
use sesame::engine;
use sesame::exit::{self, ExitStatus};
use sesame::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.quiet, cli.log_format);
    quiet_decoders();
    engine::silence();
    let result = std::panic::catch_unwind(|| match &cli.command {
        Command::Run(args) => command::run::run(args, &output),
        Command::Backfill(args) => command::backfill::run(args, &output),
        Command::Explain(args) => command::explain::run(args, &output),
        Command::Report(args) => command::report::run(args, &output),
        Command::Validate(args) => command::validate::run(args, &output),
        Command::Compare(args) => command::validate::compare(args, &output),
        Command::Diff(args) => command::diff::run(args, &output),
        Command::Verify(args) => command::verify::run(args, &output),
        Command::Clean(args) => command::clean::run(args, &output),
        Command::Plan(args) => command::plan::run(args, &output),
        Command::Check(args) => command::check::run(args, &output),
        Command::Generate(args) => command::generate::run(args, &output),
        Command::Schema(args) => command::schema::run(args, &output),
        Command::Completions(args) => command::manual::completions(args, &output),
        Command::Man => command::manual::page(&output),
    });
    let status = match result {
        Err(_) => ExitStatus::Error,
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            output.error(&exit::message(&error));
            ExitStatus::of(&error)
        }
    };
    output.ended(status.code());
    status.into()
}

/// A decoder that gives up on corrupt bytes is reported as an error of its file, not as a panic.
fn quiet_decoders() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !sesame::shield::shielded() {
            usual(info);
        }
    }));
}
