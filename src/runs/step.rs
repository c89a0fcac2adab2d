//! The steps of a run, by name. A build for the tests kills or stops itself at one of them when it is told to; any other does nothing.

/// Marks a step.
#[cfg(not(feature = "kill-points"))]
pub const fn step(_: &str) {}

/// Marks a step: the process kills or stops itself there when an environment variable names it. The tests then look at what is
/// published, do something to it, and go on or run again.
#[cfg(feature = "kill-points")]
pub fn step(name: &str) {
    use signal_hook::consts::{SIGKILL, SIGSTOP};

    for (variable, signal) in [("SESAME_KILL_AT", SIGKILL), ("SESAME_STOP_AT", SIGSTOP)] {
        if std::env::var_os(variable).is_some_and(|at| at == name) {
            // A kill is without any of the usual endings, as when the machine fails.
            let _ = signal_hook::low_level::raise(signal);
        }
    }
}
