//! Everything the program prints: the one module that writes to the terminal or a log.
//!
//! Text for people goes to standard error, data to standard output. On a terminal a stage shows a progress bar; elsewhere
//! it logs a line when it ends, and one every ten seconds while it runs. A log that cannot be written, because its disk is full or
//! its reader has gone, stops nothing: what is published matters, and the exit code tells of it.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Map, Value, json};

/// Columns that a bar with all its figures takes.
const BAR_WIDTH: u16 = 96;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A fact of a log line: its key and its value.
pub type Fact<'a> = (&'a str, Value);

/// Where everything is printed.
#[derive(Debug)]
pub struct Output {
    quiet: bool,
    bars: bool,
    json: bool,
    color: bool,
    started: Instant,
    run: Arc<Mutex<Option<String>>>,
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

/// What was fetched over a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were made.
    pub requests: u64,
    /// The most requests that were under way at a time since this was asked last.
    pub under_way: u64,
    /// Bytes that came.
    pub bytes: u64,
}

/// Asks what was fetched so far.
type Ask = fn() -> Traffic;

/// How far a stage is.
struct State {
    name: String,
    unit: &'static str,
    total: u64,
    done: AtomicU64,
    /// Who is asked what was fetched, and what had been when the stage began; nothing where it reads files.
    fetched: OnceLock<(Ask, Traffic)>,
}

impl State {
    /// What the stage fetched.
    fn traffic(&self) -> Option<Traffic> {
        let (ask, before) = self.fetched.get()?;
        let now = ask();
        Some(Traffic {
            requests: now.requests.saturating_sub(before.requests),
            under_way: now.under_way,
            bytes: now.bytes.saturating_sub(before.bytes),
        })
    }
}

/// Writes to the log; what cannot be written is lost, see above.
pub fn log(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// One JSON object on a line of its own.
fn object(level: &str, run: &Mutex<Option<String>>, message: &str, facts: &[Fact]) -> String {
    let mut line = Map::new();
    line.insert("timestamp".into(), json!(jiff::Timestamp::now().to_string()));
    line.insert("level".into(), json!(level));
    line.insert("message".into(), json!(message));
    if let Some(run) = run.lock().ok().and_then(|run| run.clone()) {
        line.insert("run".into(), json!(run));
    }
    line.extend(facts.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Value::Object(line).to_string() + "\n"
}

impl Output {
    /// Sets up logging for the process.
    #[must_use]
    pub fn new(quiet: bool, format: LogFormat) -> Self {
        let json = format == LogFormat::Json;
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let (started, run, stages) = (Instant::now(), Arc::default(), Mutex::default());
        Self { quiet, bars: terminal && !quiet && !json, json, color, started, run, stages }
    }

    /// Says which run the lines that follow are about.
    pub fn name_run(&self, id: &str) {
        if let Ok(mut run) = self.run.lock() {
            *run = Some(id.to_owned());
        }
    }

    /// A line for people, with its facts for programs; nothing when quiet.
    pub fn event(&self, text: &str, facts: &[Fact]) {
        if !self.quiet {
            self.write("INFO", "", text, facts);
        }
    }

    /// A line for people; nothing when quiet.
    pub fn line(&self, text: &str) {
        self.event(text, &[]);
    }

    /// Several lines for people, or events with their facts for programs; nothing when quiet.
    pub fn summary<'a>(&self, text: &str, events: impl IntoIterator<Item = (String, Vec<Fact<'a>>)>) {
        match self.json {
            true => events.into_iter().for_each(|(message, facts)| self.event(&message, &facts)),
            false => self.line(text),
        }
    }

    /// A warning; also when quiet.
    pub fn warn(&self, text: &str) {
        self.write("WARN", &self.paint("warning: ", "33"), text, &[]);
    }

    /// An error; also when quiet.
    pub fn error(&self, text: &str) {
        self.write("ERROR", &self.paint("error: ", "31"), text, &[]);
    }

    /// How the process ends, for programs that read the log; also when quiet.
    pub fn ended(&self, exit_code: u8) {
        if self.json {
            let seconds = self.started.elapsed().as_secs_f64();
            let facts = [("event", "ended".into()), ("exit_code", exit_code.into()), ("seconds", seconds.into())];
            self.write("INFO", "", "ended", &facts);
        }
    }

    fn write(&self, level: &str, mark: &str, text: &str, facts: &[Fact]) {
        if !self.json {
            return log(&format!("{mark}{}\n", printable(text)));
        }
        // What people read on several lines is several messages.
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.for_each(|line| log(&object(level, &self.run, line, facts)));
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
            let wide = terminal_size::terminal_size_of(std::io::stderr()).is_none_or(|(w, _)| w.0 >= BAR_WIDTH);
            let template = match wide {
                true => "{msg:<24} {bar:24} {human_pos:>13} {prefix} {rate:>12}/s {eta:>5}",
                false => "{msg:<22} {wide_bar} {percent:>3} % {eta:>5}",
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown whole")]
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A bar that cannot be written is not shown.
                let _ = out.write_str(&thousands(state.per_sec() as u64));
            };
            bar.set_style(style.with_key("rate", rate));
            bar.set_message(name.to_owned());
            bar.set_prefix(unit);
            bar
        });
        let state =
            Arc::new(State { name: name.to_owned(), unit, total, done: AtomicU64::new(0), fetched: OnceLock::new() });
        let ticking = (!self.bars && !self.quiet).then(|| self.tick(Arc::clone(&state)));
        Progress { output: self, state, bar, started: Instant::now(), _ticking: ticking }
    }

    /// Says every ten seconds how far a stage is, until the sender is dropped.
    fn tick(&self, state: Arc<State>) -> Sender<()> {
        let (sender, ended) = channel();
        let (started, json, run) = (Instant::now(), self.json, Arc::clone(&self.run));
        std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let State { name, unit, total, done, .. } = state.as_ref();
                let traffic = state.traffic();
                let (done, seconds) = (done.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
                // By the rate so far; nothing is known before the first unit is done.
                let left = (done > 0).then(|| seconds * (total.saturating_sub(done)) as f64 / done as f64);
                if json {
                    let mut facts = vec![
                        ("stage", json!(name)),
                        ("done", json!(done)),
                        ("total", json!(total)),
                        ("unit", json!(unit)),
                        ("seconds", json!(seconds)),
                        ("seconds_left", json!(left)),
                    ];
                    facts.extend(traffic.iter().flat_map(fetched));
                    log(&object("INFO", &run, "stage under way", &facts));
                } else {
                    let left = left.map_or_else(String::new, |s| format!(", about {s:.0} s left"));
                    let fetched = traffic.map_or_else(String::new, |t| {
                        format!(", {} bytes fetched, {} request(s) under way", thousands(t.bytes), t.under_way)
                    });
                    log(&format!("{name}: {} of {} {unit}{left}{fetched}\n", thousands(done), thousands(*total)));
                }
            }
        });
        sender
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
            if let Some(traffic) = self.state.traffic() {
                bar.set_prefix(format!("{}, {} MB", self.state.unit, thousands(traffic.bytes / 1_000_000)));
            }
        }
    }

    /// Tells as well what the stage fetches over a network from now on.
    pub fn watch(&self, ask: fn() -> Traffic) {
        let _ = self.state.fetched.set((ask, ask()));
    }

    /// Ends the stage.
    pub fn finish(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let State { name, unit, .. } = self.state.as_ref();
        let done = self.state.done.load(Ordering::Relaxed);
        if self.output.json {
            let mut facts =
                vec![("stage", json!(name)), ("done", json!(done)), ("unit", json!(unit)), ("seconds", json!(seconds))];
            facts.extend(self.state.traffic().iter().flat_map(fetched));
            self.output.event("stage done", &facts);
        } else {
            self.output.line(&format!("{name:<24} {:>13} {unit:<8} {seconds:>7.1} s", thousands(done)));
        }
        if let Ok(mut stages) = self.output.stages.lock() {
            stages.push((name.clone(), seconds));
        }
    }
}

/// What was fetched, as facts of a log line.
fn fetched(traffic: &Traffic) -> [Fact<'static>; 3] {
    [
        ("fetched_bytes", json!(traffic.bytes)),
        ("requests", json!(traffic.requests)),
        ("requests_under_way", json!(traffic.under_way)),
    ]
}

/// Text in which nothing acts on a terminal or turns the reading direction: control and formatting characters that ids and
/// names of groups may hold are written out.
#[must_use]
pub fn printable(text: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(acts) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) {
            true => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// How many characters a line of standard output has; nothing where that is no terminal.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The same, and a usual width where there is no terminal.
#[must_use]
pub fn text_width() -> usize {
    terminal_width().unwrap_or(112)
}

/// Text broken at blanks to lines of a width; those after the first are indented.
#[must_use]
pub fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let blanks = " ".repeat(indent);
    let options = textwrap::Options::new(width.max(2 * indent + 20)).subsequent_indent(&blanks);
    // Dates and ids stay whole.
    textwrap::fill(text, options.word_splitter(textwrap::WordSplitter::NoHyphenation))
}

/// A count with separators: 1,234,567.
#[must_use]
pub fn thousands(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_separated_in_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}\u{202e}c\nd\te"), "a\\u{1b}[31mb\\u{7}\\u{202e}c\nd\te");
        assert_eq!(printable("李雷 é"), "李雷 é");
    }
}
