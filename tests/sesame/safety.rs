//! What may happen at night: killed anywhere, no space, no permission, no folder, two at once. The published table is always
//! whole, and running again does the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::workdir::{Workdir, repository};

/// Every step that `sesame::runs::step` marks in a run.
const STEPS: [&str; 12] = [
    "locked",
    "run folder",
    "scores written",
    "audit written",
    "staged",
    "announced",
    "ledger prepared",
    "table beside its place",
    "table in its place",
    "ledger line",
    "ledger head",
    "concluded",
];

/// Steps that a run which publishes does not come to; those of a release are killed at in `release.rs`, those of pseudonyms in `pseudonymise.rs`.
const OTHERS: [&str; 7] = [
    "refused",
    "removal noted",
    "release staged",
    "release in its place",
    "release concluded",
    "pseudonyms written",
    "pseudonyms in their place",
];

/// Steps of an erasure, at which `erase.rs` kills one.
pub const OF_AN_ERASURE: [&str; 7] = [
    "erasure ordered",
    "erasure stages removed",
    "erasure file noted",
    "erasure file replaced",
    "erasure receipt",
    "erasure noted",
    "erasure ended",
];

/// Steps of what is done in an object store, at which `objects_output.rs` kills.
pub const OF_OBJECTS: [&str; 8] = [
    "run claimed",
    "run uploaded",
    "line prepared",
    "line put",
    "table replaced",
    "settled",
    "release uploaded",
    "release replaced",
];

#[test]
fn every_step_of_the_sources_is_one_of_those_at_which_runs_are_killed() {
    let mut found = Vec::new();
    for file in glob::glob(repository("src/**/*.rs").to_str().unwrap()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap()).unwrap();
        found.extend(text.split("step(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    found.sort();
    let mut known: Vec<String> =
        STEPS.iter().chain(&OTHERS).chain(&OF_AN_ERASURE).chain(&OF_OBJECTS).map(|s| (*s).to_owned()).collect();
    known.sort();
    assert_eq!(found, known);
}

/// Where a run is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    Step(&'static str),
    After(Duration),
}

/// Kills a command; whether it was killed, and did not end before.
fn kill(work: &Workdir, args: &[String], at: Kill) -> bool {
    let mut command = work.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match at {
        Kill::Step(step) => command.env("SESAME_KILL_AT", step).status().unwrap().code().is_none(),
        Kill::After(time) => {
            let mut child = command.spawn().unwrap();
            std::thread::sleep(time);
            child.kill().unwrap();
            child.wait().unwrap().code().is_none()
        }
    }
}

/// An output folder with an older table, a job that replaces it, and what the job publishes when nothing disturbs it.
struct Scene {
    work: Workdir,
    args: Vec<String>,
    old: BTreeMap<String, Vec<u8>>,
    new: BTreeMap<String, Vec<u8>>,
    takes: Duration,
}

impl Scene {
    /// Tables of the sample without its disputes are replaced by those with them.
    fn of(command: &str, more: &[&str]) -> Self {
        let work = Workdir::new();
        let small = repository("data-samples/small");
        let without: Vec<&str> = more.iter().copied().chain(["--set", "inputs.disputes=\"\""]).collect();
        work.sesame(work.arguments(command, &small, "before", &without)).expect(0);
        let old = work.published("before");
        let args = |output: &str| {
            let only: &[&str] = if command == "backfill" { &["--only", "all"] } else { &[] };
            work.arguments(command, &small, output, &[more, only].concat())
        };
        work.copy(&work.path("before"), "undisturbed");
        let started = Instant::now();
        work.sesame(args("undisturbed")).expect(0);
        let takes = started.elapsed();
        let new = work.published("undisturbed");
        assert!(!old.is_empty() && old.keys().eq(new.keys()) && old.values().ne(new.values()));
        let args = args("out");
        Self { work, args, old, new, takes }
    }

    fn fresh(&self) {
        let _ = std::fs::remove_dir_all(self.work.path("out"));
        self.work.copy(&self.work.path("before"), "out");
    }

    /// After a kill every table is the old one or the new one; running again gives what an undisturbed run gives.
    fn holds_after(&self, at: Kill) -> bool {
        self.fresh();
        let killed = kill(&self.work, &self.args, at);
        for (name, bytes) in self.work.published("out").iter().filter(|(name, _)| !name.ends_with(".incoming")) {
            assert!(self.old[name] == *bytes || self.new[name] == *bytes, "{at:?}: {name} is neither old nor new");
        }
        self.work.sesame(&self.args).expect(0);
        assert!(self.work.published("out") == self.new, "{at:?}: running again publishes something else");
        self.work.sesame(["verify", "--all", "--output", self.work.path("out").to_str().unwrap()]).expect(0);
        killed
    }

    fn holds_after_random_kills(&self, kills: usize, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let (mut killed, mut takes) = (0, self.takes);
        for _ in 0..kills {
            let after = takes.mul_f64(rng.f64());
            match self.holds_after(Kill::After(after)) {
                true => killed += 1,
                // The machine is not as busy as it was when the time was taken.
                false => takes = after,
            }
        }
        assert!(killed * 2 >= kills, "only {killed} of {kills} were killed before they ended");
    }
}

const THREE_MONTHS: [&str; 6] = ["--from", "2025-08-31", "--to", "2025-10-31", "--every", "month"];

#[test]
fn a_run_killed_at_any_step_leaves_a_whole_table_and_is_finished_by_the_next() {
    let scene = Scene::of("run", &[]);
    for step in STEPS {
        assert!(scene.holds_after(Kill::Step(step)), "the step {step} was not reached");
    }
}

#[test]
fn a_backfill_killed_at_any_step_leaves_whole_tables_and_is_finished_by_the_next() {
    let scene = Scene::of("backfill", &THREE_MONTHS);
    for step in STEPS {
        assert!(scene.holds_after(Kill::Step(step)), "the step {step} was not reached");
    }
}

#[test]
fn kills_at_random_instants_never_leave_half_a_table() {
    Scene::of("run", &[]).holds_after_random_kills(6, 1);
    Scene::of("backfill", &THREE_MONTHS).holds_after_random_kills(4, 2);
}

#[test]
#[ignore = "takes a quarter of an hour: cargo test --release --test sesame -- --ignored a_thousand_kills"]
fn a_thousand_kills_at_random_instants_never_leave_half_a_table() {
    Scene::of("run", &[]).holds_after_random_kills(600, 3);
    Scene::of("backfill", &THREE_MONTHS).holds_after_random_kills(400, 4);
}

#[test]
fn of_two_runs_at_once_one_does_the_work_and_the_other_names_it() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let args = work.arguments("run", &small, "out", &[]);
    // The first one stops with the lock in its hands, so that the second surely comes while it is held.
    let mut first = work.command(&args);
    let mut first = first.env("SESAME_STOP_AT", "locked").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let lock = work.path("out/.lock");
    while std::fs::read_to_string(&lock).map_or(true, |text| text.is_empty()) {
        std::thread::yield_now();
    }
    let said = work.sesame(&args).expect(3).says("is locked by process");
    assert!(said.err.contains(&format!("process {}", first.id())), "{}", said.err);
    first.kill().unwrap();
    first.wait().unwrap();
    work.sesame(&args).expect(0).says("published");
}

/// Runs the sample under a shell's limit of so many kilobytes a file, which a full disk looks like to the program.
pub fn limited(work: &Workdir, args: &[String], kilobytes: u32) -> crate::workdir::Ended {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", kilobytes * 2);
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_sesame")]).args(args).env("NO_COLOR", "1");
    work.ended(&mut command)
}

/// Runs the program with a disk of so many kilobytes of its own at a folder. Nothing, and a line that says so, where the system lets nobody
/// mount one.
pub fn on_a_disk(work: &Workdir, args: &[String], disk: &Path, kilobytes: u32) -> Option<crate::workdir::Ended> {
    let with_disk = |script: &str| {
        let mount = format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$1\" && shift && {script}");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"]).arg(disk);
        command
    };
    match with_disk("true").output() {
        Ok(tried) if tried.status.success() => {}
        tried => {
            let said =
                tried.map_or_else(|error| error.to_string(), |t| String::from_utf8_lossy(&t.stderr).into_owned());
            eprintln!("skipped: nobody may mount a disk here: {}", said.trim());
            return None;
        }
    }
    let mut command = with_disk("exec \"$@\"");
    command.arg(env!("CARGO_BIN_EXE_sesame")).args(args).env("NO_COLOR", "1");
    Some(work.ended(&mut command))
}

#[test]
fn a_disk_without_space_leaves_the_old_table_and_says_so() {
    let scene = Scene::of("run", &[]);
    let mut failed = 0;
    for kilobytes in [0, 1, 4, 16, 40, 64] {
        scene.fresh();
        let ended = limited(&scene.work, &scene.args, kilobytes);
        if ended.code == 0 {
            continue;
        }
        failed += 1;
        let ended = ended.expect(2);
        assert!(ended.err.contains("File too large") || ended.err.contains("is the disk full?"), "{}", ended.err);
        assert!(scene.work.published("out") == scene.old, "at {kilobytes} KB");
        scene.work.sesame(&scene.args).expect(0);
        assert!(scene.work.published("out") == scene.new, "after {kilobytes} KB");
    }
    assert!(failed >= 4, "only {failed} limits stopped the run");
}

#[test]
fn an_output_that_cannot_be_written_ends_with_an_error_that_names_it() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    // A file stands where the folder should be: no permission helps, not even the superuser's.
    std::fs::write(work.path("out"), "in the way").unwrap();
    work.run(&small, "out", &[]).expect(2).says(work.path("out").to_str().unwrap());
    std::fs::remove_file(work.path("out")).unwrap();
    std::fs::create_dir_all(work.path("out")).unwrap();
    std::fs::write(work.path("out/runs"), "in the way").unwrap();
    work.run(&small, "out", &[]).expect(2).says("runs");
    assert!(work.published("out").is_empty());
}

/// Waits until a process has stopped itself at its step; a signal that comes earlier would be lost on it.
pub fn until_stopped(process: u32) {
    let state = || std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    while !state().rsplit(')').next().unwrap().trim_start().starts_with('T') {
        std::thread::yield_now();
    }
}

#[test]
fn an_output_folder_that_vanishes_meanwhile_ends_the_run_with_an_error() {
    let work = Workdir::new();
    let args = work.arguments("run", &repository("data-samples/small"), "out", &[]);
    let mut run = work.command(&args);
    let run = run.env("SESAME_STOP_AT", "staged").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until_stopped(run.id());
    std::fs::rename(work.path("out"), work.path("elsewhere")).unwrap();
    Command::new("kill").args(["-CONT", &run.id().to_string()]).status().unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(work.published("out").is_empty() && work.published("elsewhere").is_empty());
    // Found again, it goes on as if nothing had been.
    let _ = std::fs::remove_dir_all(work.path("out"));
    std::fs::rename(work.path("elsewhere"), work.path("out")).unwrap();
    work.sesame(&args).expect(0);
}

#[test]
fn an_interrupted_run_is_resumed_from_the_stages_it_made() {
    let scene = Scene::of("run", &[]);
    scene.fresh();
    let mut run = scene.work.command(&scene.args);
    let run = run.env("SESAME_STOP_AT", "run folder").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until_stopped(run.id());
    for signal in ["-INT", "-CONT"] {
        Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap();
    }
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("running it again goes on"));
    assert!(scene.work.published("out") == scene.old);
    let again = scene.work.sesame(&scene.args).expect(0).says("reused as of 2025-10-31: subjects");
    assert!(!again.err.contains("read repayments"), "{}", again.err);
    assert!(scene.work.published("out") == scene.new);
}

#[test]
fn a_file_changed_behind_its_times_is_noticed() {
    let work = Workdir::new();
    work.copy(&repository("data-samples/small"), "export");
    let file: PathBuf = work.path("export/public_records.parquet");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let set = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        std::fs::File::options().append(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    };
    let mut bytes = std::fs::read(&file).unwrap();
    set(&bytes);
    work.run(&work.path("export"), "out", &[]).expect(0);
    work.run(&work.path("export"), "out", &[]).expect(0).says("nothing to do");
    // The same size and the same time of modification, as after a clock was set back: another byte in the footer's text.
    let at = bytes.windows(7).rposition(|w| w == b"parquet").unwrap();
    bytes[at] = b'P';
    set(&bytes);
    let again = work.run(&work.path("export"), "out", &[]).expect(0);
    assert!(!again.err.contains("nothing to do"), "{}", again.err);
}

#[test]
fn recovery_removes_what_a_killed_run_left_and_nothing_else() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    let args = work.arguments("run", &small, "out", &[]);
    work.sesame(&args).expect(0);
    let run = work.path("out/runs").read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::write(run.join("state.json"), "{ \"state\": \"staging\" }").unwrap();
    std::fs::create_dir_all(work.path("out/runs/notes")).unwrap();
    std::fs::write(work.path("out/runs/notes/mine.txt"), "not a run").unwrap();
    std::fs::create_dir_all(work.path("out/runs/begun")).unwrap();
    let again = work.run(&small, "out", &["--fresh"]).expect(0).says("notes is no run's folder; it is left alone");
    assert!(again.err.contains("says again what the ledger does"), "{}", again.err);
    assert!(run.join("manifest.json").exists() && work.path("out/runs/notes/mine.txt").exists());
    assert!(!work.path("out/runs/begun").exists());
    work.sesame(["verify", "--all", "--output", "out"]).expect(1).says("run notes: the ledger does not know it");
    std::fs::remove_dir_all(work.path("out/runs/notes")).unwrap();
    work.sesame(["verify", "--all", "--output", "out"]).expect(0);
}
