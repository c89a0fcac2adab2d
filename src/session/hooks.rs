//! The commands that a pipeline has called when a run or backfill ends: `on_success` and `on_failure`.
//!
//! They change neither result nor exit code, and are called when the output folder is no longer locked. What they write goes to the log.

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus as Ended, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::civil::Date;

use crate::exit::ExitStatus;
use crate::output::{Output, printable};
use crate::pipeline::Pipeline;
use crate::pipeline::partners::{Partner, Partners};
use crate::runs::output_folder::output_of;
use crate::runs::remote;
use crate::storage::secret::SecretSource;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of a message that are passed on, and bytes of what a command writes that are logged.
const MOST: usize = 16_384;

/// How a run or backfill ended.
pub(super) struct Ending<'a> {
    /// In one word.
    pub result: &'static str,
    /// What the shell sees.
    pub exit: ExitStatus,
    /// The as-of date, of a single run.
    pub as_of: Option<Date>,
    /// The run's id, where there is one.
    pub run: Option<&'a str>,
    /// The table, where one is published.
    pub table: Option<PathBuf>,
    /// Why nothing was published.
    pub message: Option<String>,
}

impl Ending<'_> {
    /// How an error ends a run.
    pub(super) fn of(error: &anyhow::Error, as_of: Option<Date>) -> Self {
        let exit = ExitStatus::of(error);
        let result = match exit {
            ExitStatus::Interrupted => "interrupted",
            ExitStatus::Locked => "locked",
            _ => "failed",
        };
        Self { result, exit, as_of, run: None, table: None, message: Some(crate::exit::message(error)) }
    }

    /// Calls the command that the pipeline has for such an end, if it has one. What goes wrong with it is warned of.
    pub(super) fn tell(&self, pipeline: &Pipeline, log: &Output) {
        let settings = &pipeline.settings;
        let (key, words) = match self.exit {
            ExitStatus::Success => ("on_success", &settings.on_success),
            _ => ("on_failure", &settings.on_failure),
        };
        let Some((program, arguments)) = words.as_deref().and_then(<[String]>::split_first) else { return };
        if let Err(error) = self.call(pipeline, program, arguments, key, log) {
            log.warn(&format!("{key}: {program}: {error:#}"));
        }
    }

    fn call(&self, pipeline: &Pipeline, program: &str, arguments: &[String], key: &str, log: &Output) -> Result<()> {
        let secret =
            variables_of_keys(pipeline).context("it is not called: the variables that hold keys are not known")?;
        let mut said = tempfile::tempfile()?;
        let mut command = Command::new(place(pipeline, program));
        command.args(arguments).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        // A group of its own, so that what it starts can be ended with it.
        command.process_group(0);
        self.describe(pipeline, &mut command);
        for name in secret {
            command.env_remove(name);
        }
        let ended = wait(&mut command.spawn()?, PATIENCE)?;
        said.rewind()?;
        let mut bytes = Vec::new();
        said.take(MOST as u64).read_to_end(&mut bytes)?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            log.line(&format!("{key}: {line}"));
        }
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{status}"),
            None => bail!("it was stopped after {} s", PATIENCE.as_secs()),
        }
    }

    /// What happened, in variables of the environment; those that say nothing are not set.
    fn describe(&self, pipeline: &Pipeline, command: &mut Command) {
        let settings = &pipeline.settings;
        let path = |path: &Path| path.display().to_string();
        let variables = [
            ("SESAME_PIPELINE", Some(settings.name.clone())),
            ("SESAME_PIPELINE_FILE", Some(path(&pipeline.path))),
            ("SESAME_OUTPUT", Some(remote::shown(&output_of(pipeline)))),
            ("SESAME_RESULT", Some(self.result.to_owned())),
            ("SESAME_EXIT_CODE", Some(self.exit.code().to_string())),
            ("SESAME_AS_OF", self.as_of.map(|day| day.to_string())),
            ("SESAME_RUN", self.run.map(ToOwned::to_owned)),
            ("SESAME_TABLE", self.table.as_deref().map(remote::shown)),
            ("SESAME_MESSAGE", self.message.as_ref().map(|text| text.chars().take(MOST).collect())),
        ];
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, printable(&value)),
                None => command.env_remove(name),
            };
        }
    }
}

/// The variables of the environment that hold keys: the pipeline's own and those of its partners.
fn variables_of_keys(pipeline: &Pipeline) -> Result<BTreeSet<String>> {
    let privacy = &pipeline.settings.privacy;
    let partners = if Partners::place(pipeline).exists() { Some(Partners::load(pipeline)?) } else { None };
    let of_partners = partners.iter().flat_map(Partners::all).flat_map(Partner::sources);
    let sources = privacy.ledger_key.iter().chain(privacy.keys.at.values()).map(String::as_str).chain(of_partners);
    let variable = |source: &str| match SecretSource::parse("a key", source) {
        Ok(SecretSource::Env(name)) => Some(name.to_owned()),
        _ => None,
    };
    Ok(sources.filter_map(variable).collect())
}

/// A program with a `/` lies relative to the pipeline file; one without is found by PATH.
fn place(pipeline: &Pipeline, program: &str) -> PathBuf {
    if program.contains('/') { pipeline.resolve(program) } else { program.into() }
}

/// How a command ended; nothing when it was stopped for taking too long.
fn wait(child: &mut Child, patience: Duration) -> Result<Option<Ended>> {
    let started = Instant::now();
    while started.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id())?).context("a process has a number")?;
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::Duration;

    use super::wait;

    #[test]
    fn a_command_that_does_not_end_is_stopped_with_what_it_started() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).process_group(0).spawn().unwrap();
        assert!(wait(&mut child, Duration::from_millis(100)).unwrap().is_none());
        let mut child = Command::new("true").process_group(0).spawn().unwrap();
        assert!(wait(&mut child, Duration::from_secs(60)).unwrap().unwrap().success());
    }
}
