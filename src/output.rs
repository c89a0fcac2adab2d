//! Everything the program prints: the one module that writes to the terminal or a log.
//!
//! Text for people goes to standard error, data to standard output. On a terminal a stage shows a progress bar; elsewhere
//! it logs a line when it ends, and one every ten seconds while it runs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the output module")]

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where everything is printed.
#[derive(Debug)]
pub struct Output {
    quiet: bool,
    bars: bool,
    json: bool,
    color: bool,
    stages: Mutex<Vec<(String, f64)>>,
}

/// How often a stage that shows no bar says how far it is.
const TICK: Duration = Duration::from_secs(10);

/// A stage under way.
pub struct Progress<'a> {
    output: &'a Output,
    state: Arc<State>,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Ends the thread that tells how far the stage is, when it is dropped.
    _ticking: Option<Sender<()>>,
}

/// How far a stage is.
struct State {
    name: String,
    unit: &'static str,
    total: u64,
    done: AtomicU64,
}

impl Output {
    /// Sets up logging for the process.
    #[must_use]
    pub fn new(quiet: bool, format: LogFormat) -> Self {
        let json = format == LogFormat::Json;
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        if json {
            let subscriber = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_target(false).finish();
            // A second set-up in one process keeps the first.
            let _ = tracing::subscriber::set_global_default(subscriber);
        }
        Self { quiet, bars: terminal && !quiet && !json, json, color, stages: Mutex::default() }
    }

    /// A line for people; nothing when quiet.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.json {
            tracing::info!("{text}");
        } else {
            eprintln!("{text}");
        }
    }

    /// A warning; also when quiet.
    pub fn warn(&self, text: &str) {
        if self.json {
            tracing::warn!("{text}");
        } else {
            eprintln!("{} {text}", self.paint("warning:", "33"));
        }
    }

    /// An error; also when quiet.
    pub fn error(&self, text: &str) {
        if self.json {
            tracing::error!("{text}");
        } else {
            eprintln!("{} {text}", self.paint("error:", "31"));
        }
    }

    /// Data on standard output. A reader that has gone away ends the writing silently.
    ///
    /// # Errors
    /// When it cannot be written, for example to a full disk.
    pub fn data(&self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Text in a color of the terminal.
    #[must_use]
    pub fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Begins a stage of so many units of work.
    #[must_use]
    pub fn stage(&self, name: &str, total: u64, unit: &'static str) -> Progress<'_> {
        let bar = self.bars.then(|| {
            let bar = ProgressBar::new(total);
            let style =
                ProgressStyle::with_template("{msg:<24} {bar:24} {human_pos:>13} {prefix} {per_sec:>16} {eta:>5}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(name.to_owned());
            bar.set_prefix(unit);
            bar
        });
        let state = Arc::new(State { name: name.to_owned(), unit, total, done: AtomicU64::new(0) });
        let ticking = (!self.bars && !self.quiet).then(|| tick(Arc::clone(&state), self.json));
        Progress { output: self, state, bar, started: Instant::now(), _ticking: ticking }
    }

    /// The stages since this was last asked and the seconds each took: those of one run, when a process does several.
    #[must_use]
    pub fn timings(&self) -> Vec<(String, f64)> {
        self.stages.lock().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default()
    }
}

impl Progress<'_> {
    /// Counts work done.
    pub fn add(&self, units: u64) {
        self.state.done.fetch_add(units, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(units);
        }
    }

    /// Ends the stage.
    pub fn finish(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let State { name, unit, .. } = self.state.as_ref();
        let done = self.state.done.load(Ordering::Relaxed);
        if self.output.json && !self.output.quiet {
            tracing::info!(stage = name, done, unit, seconds, "stage done");
        } else {
            self.output.line(&format!("{name:<24} {:>13} {unit:<8} {seconds:>7.1} s", thousands(done)));
        }
        if let Ok(mut stages) = self.output.stages.lock() {
            stages.push((name.clone(), seconds));
        }
    }
}

/// Says every ten seconds how far a stage is, until the sender is dropped.
fn tick(state: Arc<State>, json: bool) -> Sender<()> {
    let (sender, ended) = channel();
    let started = Instant::now();
    std::thread::spawn(move || {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let State { name, unit, total, done } = state.as_ref();
            let (done, seconds) = (done.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
            // By the rate so far; nothing is known before the first unit is done.
            let left = (done > 0).then(|| seconds * (total.saturating_sub(done)) as f64 / done as f64);
            if json {
                tracing::info!(stage = name, done, total, unit, seconds, seconds_left = left, "stage under way");
            } else {
                let left = left.map_or_else(String::new, |s| format!(", about {s:.0} s left"));
                eprintln!("{name}: {} of {} {unit}{left}", thousands(done), thousands(*total));
            }
        }
    });
    sender
}

/// A count with separators: 1,234,567.
#[must_use]
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
