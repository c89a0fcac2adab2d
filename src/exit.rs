//! How the program ends: the one place where exit codes are decided.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The run was interrupted by a signal; running it again does it over.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was under way is not published, running it again goes on")]
pub struct Interrupted;

/// Stops the work at hand when a signal has asked for it.
///
/// # Errors
/// [`Interrupted`], when it has.
pub fn check(stop: &AtomicBool) -> Result<(), Interrupted> {
    if stop.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// Set by signals, once some command asked to be told of them.
static SIGNALLED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Stops a wait that no work at hand watches over, when a signal has asked for it.
///
/// # Errors
/// [`Interrupted`], when it has.
pub fn asked() -> Result<(), Interrupted> {
    SIGNALLED.get().map_or(Ok(()), |stop| check(stop))
}

/// Ctrl-C and SIGTERM ask the work to stop, within a second; a second one ends the process.
///
/// # Errors
/// When the handlers cannot be set.
pub fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // The first of several flags does for all: a signal sets each of them.
    let _ = SIGNALLED.set(Arc::clone(&stop));
    Ok(stop)
}

/// A gate failed: the result is kept for inspection and not published.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GateFailed(pub String);

/// Another run holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Locked(pub String);

/// The text of an error for people. Where an interruption reached the work says nothing about what it worked on.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => interrupted.to_string(),
        None => format!("{error:#}"),
    }
}

/// What the shell sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Published, or nothing to do.
    Success,
    /// A gate failed, nothing published.
    Gate,
    /// Usage, configuration, contract or unexpected error.
    Error,
    /// Another run holds the lock.
    Locked,
    /// A backfill did some of its dates.
    Partly,
    /// Interrupted.
    Interrupted,
}

impl ExitStatus {
    /// The status an error stands for.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let interrupted = error.downcast_ref::<Interrupted>().is_some();
        if interrupted {
            Self::Interrupted
        } else if error.downcast_ref::<GateFailed>().is_some() {
            Self::Gate
        } else if error.downcast_ref::<Locked>().is_some() {
            Self::Locked
        } else {
            Self::Error
        }
    }
}

impl ExitStatus {
    /// The number the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Gate => 1,
            Self::Error => 2,
            Self::Locked => 3,
            Self::Partly => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
