//! The steps of a run, by name.

use signal_hook::consts::{SIGKILL, SIGSTOP};
use signal_hook::low_level::raise;

/// Environment variables that name a step at which the process kills or stops itself. They are there for the tests, which
/// then look at what is published, do something to it, and go on or run again; nothing else sets them.
const SIGNALS: [(&str, i32); 2] = [("SESAME_KILL_AT", SIGKILL), ("SESAME_STOP_AT", SIGSTOP)];

/// Marks a step.
pub fn step(name: &str) {
    for (variable, signal) in SIGNALS {
        if std::env::var_os(variable).is_some_and(|at| at == name) {
            // A kill is without any of the usual endings, as when the machine fails.
            let _ = raise(signal);
        }
    }
}
