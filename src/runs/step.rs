//! The steps of a run, by name.

/// The environment variable that names a step at which the process kills itself. It is there for the tests, which then
/// look at what is published and run again; nothing else sets it.
const KILL: &str = "SESAME_KILL_AT";

/// Marks a step.
pub fn step(name: &str) {
    tracing::debug!(step = name);
    if std::env::var_os(KILL).is_some_and(|at| at == name) {
        // Without any of the usual endings, as when the machine fails.
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
    }
}
