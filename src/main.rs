//! The command `sesame`.

use std::process::ExitCode;

use clap::Parser;
use sesame::command::Cli;
use sesame::engine;
use sesame::exit;
use sesame::exit::ExitStatus;
use sesame::machine::{allocator, processor};
use sesame::output::{self, Output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if !processor::suffices() {
        output::log(processor::REFUSAL);
        return ExitCode::from(const { ExitStatus::Error.code() });
    }
    allocator::keep_freed();
    let cli = Cli::parse();
    let output = Output::new(cli.quiet, cli.log_format);
    quiet_decoders();
    engine::silence();
    let result = std::panic::catch_unwind(|| cli.command.run(&output));
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
        if !sesame::machine::shield::shielded() {
            usual(info);
        }
    }));
}
