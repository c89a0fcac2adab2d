//! An output in an object store, against a server on this machine that speaks its protocol: `moto[server]` of the Python that
//! `SESAME_PYTHON` names. Every command, ten publishers at once, killed at every step and at random instants. Where `SESAME_AZURITE` names
//! the emulator of Azure's store (`node_modules/azurite/dist/src/blob/main.js`), that is the server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use fastrand::Rng;
use serde_json::Value;

use crate::exports::{Export, read};
use crate::workdir::{Ended, Workdir, inputs, repository};

const SECRET: &str = "the-secret-of-the-tests";
const KEY: &str = "a key of the tests, not of anyone";
const AS_OF: &str = "2025-10-31";

/// What the emulator of Azure's store lets anybody in with: its account and key are in its documents.
const EMULATED: &str = "/devstoreaccount1";
const SIGNED: &str = "se=2999-01-01T00%3A00%3A00Z&sp=rwdlc&sv=2021-12-02&ss=b&srt=sco&sig=czu1Hqd4pI%2F5AKXAzr4IXhNFj3HgZ%2FdxAr38LfUHRQQ%3D";

/// Steps at which a run into an object store is killed: those of `safety::OF_OBJECTS` that it comes to, and what it has in common with
/// one into a folder.
const STEPS: [&str; 11] = [
    "locked",
    "run folder",
    "staged",
    "run claimed",
    "run uploaded",
    "line prepared",
    "line put",
    "ledger line",
    "concluded",
    "table replaced",
    "settled",
];

/// A server with one bucket, in memory; it ends with the value.
struct Server {
    child: Child,
    port: u16,
    azure: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Nothing where there is none.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let azurite = std::env::var_os("SESAME_AZURITE");
        let mut command = match &azurite {
            Some(program) => {
                let mut command = Command::new("node");
                command.arg(program).args([
                    "--inMemoryPersistence",
                    "--disableTelemetry",
                    "--skipApiVersionCheck",
                    "--blobPort",
                ]);
                command.arg(port.to_string());
                command
            }
            None => moto(port)?,
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, port, azure: azurite.is_some() };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let status = server.ask("PUT", "").0;
        assert!(status == 200 || status == 201, "{status}");
        Some(server)
    }

    /// Status and body of an answer. Amazon's server looks whether there is a signature, not which.
    fn ask(&self, method: &str, below: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (path, headers) = if self.azure {
            let kind = if method == "PUT" && below.is_empty() { "restype=container&" } else { "" };
            (
                format!("{EMULATED}/bucket{below}?{kind}{SIGNED}"),
                "x-ms-blob-type: BlockBlob\r\nx-ms-version: 2021-12-02",
            )
        } else {
            let authorization = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                                 SignedHeaders=host, Signature=0";
            (format!("/bucket{below}"), authorization)
        };
        let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: 0", self.port);
        write!(stream, "{method} {path} HTTP/1.0\r\n{host}\r\n{headers}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// The address of what lies in the bucket.
    fn url(&self, below: &str) -> String {
        format!("{}://bucket/{below}", if self.azure { "az" } else { "s3" })
    }

    /// An object's content; nothing when there is none.
    fn object(&self, below: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", below);
        (status == 200).then_some(body)
    }
}

/// A server of Amazon's protocol; nothing where there is no Python that has one.
fn moto(port: u16) -> Option<Command> {
    let Some(python) = std::env::var_os("SESAME_PYTHON") else {
        eprintln!("SESAME_PYTHON names no Python: nothing was put into an object store");
        return None;
    };
    let known = Command::new(&python).args(["-c", "import moto.server, flask_cors"]).stderr(Stdio::null()).status();
    if !known.unwrap().success() {
        eprintln!("the Python has no moto[server]: nothing was put into an object store");
        return None;
    }
    let mut command = Command::new(&python);
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    Some(command)
}

/// A server, and a folder whose subfolders are the caches of so many machines.
struct Scene {
    work: Workdir,
    server: Server,
}

impl Scene {
    fn new() -> Option<Self> {
        Some(Self { work: Workdir::new(), server: Server::start()? })
    }

    fn command(&self, machine: &str, args: &[String]) -> Command {
        let mut command = self.work.command(args);
        command
            .env("SESAME_CACHE", self.work.path(machine))
            .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.server.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AZURE_STORAGE_USE_EMULATOR", "true")
            .env("AZURITE_BLOB_STORAGE_URL", format!("http://127.0.0.1:{}", self.server.port))
            .env("SESAME_TEST_LEDGER_KEY", KEY)
            .env("SESAME_TEST_PARTNER_KEY", "the key of a partner, of the tests");
        command
    }

    fn sesame(&self, machine: &str, args: &[String]) -> Ended {
        let ended = self.work.ended(&mut self.command(machine, args));
        assert!(!ended.err.contains(SECRET) && !ended.out.contains(SECRET), "a secret shows");
        ended
    }

    /// The arguments of a command on the nightly pipeline over the sample, into a folder of the bucket.
    fn args(&self, command: &str, output: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec![command.to_owned(), repository("pipelines/nightly.toml").display().to_string()];
        args.extend(inputs(&repository("data-samples/small")));
        args.extend(["--set".to_owned(), format!("output=\"{}\"", self.server.url(output))]);
        args.extend(more.iter().map(ToString::to_string));
        args
    }

    fn table(&self, output: &str) -> Option<Vec<u8>> {
        self.server.object(&format!("/{output}/scores/as_of={AS_OF}/model=standard-1/scores.parquet"))
    }

    /// Everything holds, for a machine that has seen nothing of it before.
    fn verify(&self, output: &str) {
        let machine = format!("verifier-{}", fastrand::u64(..));
        let url = self.server.url(output);
        let args = [
            "verify",
            "--all",
            "--outputs-only",
            "--ledger-key",
            "env:SESAME_TEST_LEDGER_KEY",
            "--output",
            url.as_str(),
        ];
        let keyed = self.sesame(&machine, &args.map(str::to_owned));
        if keyed.code != 0 && keyed.err.contains("without a key") {
            let args = ["verify", "--all", "--outputs-only", "--output", url.as_str()];
            self.sesame(&machine, &args.map(str::to_owned)).expect(0);
        } else {
            keyed.expect(0);
        }
        let _ = std::fs::remove_dir_all(self.work.path(&machine));
    }

    fn lines(&self, output: &str) -> Vec<Value> {
        let line = |n: usize| self.server.object(&format!("/{output}/ledger/{n}.json"));
        (1..).map_while(line).map(|text| serde_json::from_slice(&text).unwrap()).collect()
    }
}

/// Arguments as texts.
fn words<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(str::to_owned).to_vec()
}

#[test]
fn an_output_in_an_object_store_is_what_one_in_a_folder_is() {
    let Some(scene) = Scene::new() else { return };
    scene.work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let local = scene.work.scores("out");
    scene.sesame("one", &scene.args("plan", "a", &[])).expect(0).says("not published yet").says(&scene.server.url("a"));
    scene
        .sesame("one", &scene.args("run", "a", &[]))
        .expect(0)
        .says(&format!("published {}/scores/", scene.server.url("a")));
    assert!(scene.table("a").unwrap() == local, "the table is not that of a folder");
    for machine in ["one", "two"] {
        scene.sesame(machine, &scene.args("run", "a", &[])).expect(0).says("nothing to do");
        scene.sesame(machine, &scene.args("plan", "a", &[])).expect(0).says("nothing it depends on has changed");
        let url = &scene.server.url("a");
        scene.sesame(machine, &words(["runs", "--output", url])).expect(0).says("published");
        scene.sesame(machine, &words(["report", "latest", "--out", "page.html", "--output", url])).expect(0);
        let table = read(&scene.work.scores_path("out"));
        let subject = table.column_by_name("subject_id").unwrap().as_string::<i32>().value(0).to_owned();
        scene
            .sesame(machine, &words(["explain", "latest", subject.as_str(), "--output", url]))
            .expect(0)
            .says(&subject);
        scene.sesame(machine, &words(["diff", "latest", "last", "--output", url])).expect(0).says("subjects");
        let outcomes = repository("data-samples/small/outcomes.parquet").display().to_string();
        let validate = words(["validate", "latest", "--outcomes", outcomes.as_str(), "--output", url]);
        scene.sesame(machine, &validate).expect(0);
        scene.sesame(machine, &scene.args("history", "a", &[])).expect(0).says(&scene.server.url("a/history.html"));
        scene
            .sesame(machine, &scene.args("access", "a", &[]).iter().cloned().chain([subject]).collect::<Vec<_>>())
            .expect(0);
    }
    assert!(scene.server.object("/a/history.html").is_some());
    scene.verify("a");
    // A refused run changes nothing that readers see, and is told everywhere.
    let refused = scene.args("run", "a", &["--set", "gates.min_scored_share=1.0", "--set", "inputs.disputes=\"\""]);
    scene.sesame("one", &refused).expect(1).says("min_scored_share");
    assert!(scene.table("a").unwrap() == local);
    scene.sesame("three", &words(["runs", "--output", &scene.server.url("a")])).expect(0).says("refused");
    scene.verify("a");
    // What was changed in the store is found out.
    let run = scene.lines("a")[0]["run"].as_str().unwrap().to_owned();
    assert!([202, 204].contains(&scene.server.ask("DELETE", &format!("/a/runs/{run}/audit.json")).0));
    for machine in ["one", "four"] {
        let verify = words(["verify", "--all", "--output", &scene.server.url("a")]);
        scene.sesame(machine, &verify).expect(1).says("audit.json is missing");
    }
}

#[test]
fn a_url_that_cannot_be_written_or_holds_a_key_is_refused() {
    let Some(scene) = Scene::new() else { return };
    for (output, says) in [("https://example.invalid/x", "can only be read"), ("s3://key@bucket/x", "may be a key")] {
        let mut args = scene.args("run", "x", &[]);
        args.extend(["--set".to_owned(), format!("output=\"{output}\"")]);
        scene.sesame("one", &args).expect(2).says(says);
    }
    // A bucket that is not there is not one that others have locked.
    let mut args = scene.args("run", "x", &[]);
    let missing = scene.server.url("x").replace("bucket", "no-such-bucket");
    args.extend(["--set".to_owned(), format!("output=\"{missing}\"")]);
    scene.sesame("one", &args).expect(2).says("or its bucket does not");
    // Neither what a URL holds is shown, wherever it is given.
    for url in ["s3://KEY:c0ffee@bucket/x", "s3://bucket/x?X-Amz-Signature=c0ffee"] {
        let ended = scene.sesame("one", &words(["runs", "--output", url])).expect(2).says("is not read");
        assert!(!ended.err.contains("c0ffee"), "{}", ended.err);
    }
    let mut command = scene.command("one", &scene.args("run", "x", &[]));
    command.env_remove("SESAME_CACHE").env_remove("XDG_CACHE_HOME").env_remove("HOME");
    scene.work.ended(&mut command).expect(2).says("SESAME_CACHE");
}

#[test]
fn a_ledger_that_is_gone_stops_who_writes_and_nothing_is_removed() {
    let Some(scene) = Scene::new() else { return };
    scene.sesame("one", &scene.args("run", "l", &[])).expect(0);
    // What some tools put where they show folders is none of it.
    let run = scene.lines("l")[0]["run"].as_str().unwrap().to_owned();
    for folder in ["scores/", "releases/", "erasures/", &format!("runs/{run}/configuration/")] {
        assert!([200, 201].contains(&scene.server.ask("PUT", &format!("/l/{folder}")).0));
    }
    scene.sesame("two", &scene.args("run", "l", &[])).expect(0).says("nothing to do");
    scene.verify("l");
    let manifest = format!("/l/runs/{run}/manifest.json");
    for (machine, names) in
        [("three", &["ledger/1.json", "ledger.head.json"][..]), ("four", &["ledger.settled.json"][..])]
    {
        for name in names {
            assert!([202, 204].contains(&scene.server.ask("DELETE", &format!("/l/{name}")).0));
        }
        let ended = scene.sesame(machine, &scene.args("run", "l", &["--fresh"]));
        ended.expect(2).says("put ledger/ and ledger.head.json back");
        assert!(scene.server.object(&manifest).is_some() && scene.table("l").is_some(), "{machine}");
    }
}

#[test]
fn of_ten_publishers_at_once_each_has_a_line_of_its_own() {
    let Some(scene) = Scene::new() else { return };
    let runs: Vec<Child> = (1..=10)
        .map(|n| {
            let known = format!("2025-11-{:02}", n + 1);
            let mut command = scene.command(&format!("m{n}"), &scene.args("run", "b", &["--known-by", &known]));
            command.env("SESAME_NO_LEASE", "1").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let lines = scene.lines("b");
    assert_eq!(lines.len(), 10, "{lines:?}");
    for (before, line) in lines.iter().zip(&lines[1..]) {
        // Each was decided by what the one before it left.
        assert_eq!(line["replaces"]["run"], before["run"]);
    }
    let last = lines[9]["run"].as_str().unwrap();
    assert_eq!(scene.table("b"), scene.server.object(&format!("/b/runs/{last}/scores.parquet")));
    scene.verify("b");
    // With the lease one works and the others do not begin.
    let mut first = scene.command("m1", &scene.args("run", "c", &[]));
    let mut first = first.env("SESAME_STOP_AT", "locked").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while scene.server.object("/c/lock.json").is_none() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    scene.sesame("m2", &scene.args("run", "c", &[])).expect(3).says("is locked by process");
    first.kill().unwrap();
    first.wait().unwrap();
    // The process was one of this machine, and is gone: nobody waits for its lease to run out.
    scene.sesame("m2", &scene.args("run", "c", &[])).expect(0);
}

/// Kills a run that replaces a table; afterwards the table is the old or the new one, and the next run, of this machine or another, does
/// the rest. Whether it was killed.
fn killed(scene: &Scene, output: &str, kill: &dyn Fn(&mut Command) -> bool, next: &str) -> bool {
    let without = ["--set", "inputs.disputes=\"\""];
    scene.sesame("one", &scene.args("run", output, &without)).expect(0);
    let old = scene.table(output).unwrap();
    let new = {
        let local = scene.work.path("undisturbed");
        if !local.is_dir() {
            scene.work.run(&repository("data-samples/small"), "undisturbed", &[]).expect(0);
        }
        scene.work.scores("undisturbed")
    };
    assert!(old != new);
    let mut command = scene.command("one", &scene.args("run", output, &[]));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let killed = kill(&mut command);
    let seen = scene.table(output).unwrap();
    assert!(seen == old || seen == new, "{output}: readers see neither the old nor the new table");
    scene.sesame(next, &scene.args("run", output, &[])).expect(0);
    assert!(scene.table(output).unwrap() == new, "{output}: the next run did not finish it");
    scene.verify(output);
    killed
}

#[test]
fn whatever_step_a_run_is_killed_at_the_next_one_does_the_rest() {
    let Some(scene) = Scene::new() else { return };
    for (n, step) in STEPS.iter().enumerate() {
        for (machine, next) in [("same", "one"), ("other", "two")] {
            let at = |command: &mut Command| command.env("SESAME_KILL_AT", step).status().unwrap().code().is_none();
            assert!(killed(&scene, &format!("kill-{n}-{machine}"), &at, next), "{step}: the run does not come to it");
        }
    }
}

#[test]
#[ignore = "hours: SESAME_KILLS runs that are killed at random instants, 1,000 when it is not set"]
fn a_run_killed_at_random_instants_is_finished_by_the_next() {
    let Some(scene) = Scene::new() else { panic!("SESAME_PYTHON names no Python with moto[server]") };
    let kills: usize = std::env::var("SESAME_KILLS").map_or(1000, |kills| kills.parse().unwrap());
    let started = Instant::now();
    scene.sesame("one", &scene.args("run", "undisturbed", &[])).expect(0);
    let (takes, mut rng) = (started.elapsed(), Rng::with_seed(7));
    let mut count = 0;
    for n in 0..kills {
        let after = takes.mul_f64(rng.f64());
        let later = |command: &mut Command| {
            let mut child = command.spawn().unwrap();
            std::thread::sleep(after);
            let _ = child.kill();
            child.wait().unwrap().code().is_none()
        };
        count += usize::from(killed(&scene, &format!("random-{n}"), &later, if n % 2 == 0 { "one" } else { "two" }));
    }
    assert!(count * 2 >= kills, "only {count} of {kills} were killed before they ended");
}

/// The scored subjects of a table, in order.
fn scored(table: &Path) -> Vec<String> {
    let table = read(table);
    let ids = table.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let scores = table.column_by_name("score").unwrap().clone();
    (0..table.num_rows()).filter(|n| scores.is_valid(*n)).map(|n| ids.value(n).to_owned()).collect()
}

#[test]
fn runs_go_releases_are_given_and_subjects_are_erased_in_an_object_store() {
    let Some(scene) = Scene::new() else { return };
    let keyed = |command: &str, more: &[&str]| {
        let mut args = scene.args(command, "d", &["--set", "privacy.ledger_key=\"env:SESAME_TEST_LEDGER_KEY\""]);
        args.extend(more.iter().map(ToString::to_string));
        args
    };
    scene.sesame("one", &keyed("run", &["--set", "inputs.disputes=\"\""])).expect(0);
    scene.sesame("two", &keyed("run", &[])).expect(0);
    let runs: Vec<String> = scene.lines("d").iter().map(|line| line["run"].as_str().unwrap().to_owned()).collect();
    assert_eq!(runs.len(), 2);
    // A pipeline that names no key adds no line to a keyed ledger.
    scene.sesame("one", &scene.args("run", "d", &["--fresh"])).expect(2).says("keyed and no key is given");

    // Removed by another machine than the one that made it, after a line in the ledger.
    let clean = keyed("clean", &["--runs-older-than", "0"]);
    scene.sesame("three", &clean).expect(0).says("would be removed");
    scene.sesame("three", &[clean, words(["--yes"])].concat()).expect(0).says("removed");
    assert!(scene.server.object(&format!("/d/runs/{}/manifest.json", runs[0])).is_none());
    assert!(scene.server.object(&format!("/d/runs/{}/manifest.json", runs[1])).is_some());
    assert_eq!(scene.lines("d")[2]["event"], "removed");
    scene.verify("d");
    scene.sesame("one", &keyed("run", &[])).expect(0).says("nothing to do");

    scene.work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    let ids = scored(&scene.work.scores_path("out"));
    let row = |value: &'static str| vec![value; 30];
    Export::new()
        .text("subject_id", ids[..30].iter().map(String::as_str))
        .text("purpose", row("release"))
        .text_or_null("partner_id", &vec![Some("partner-a"); 30])
        .instants("granted_at", &vec![Some("2024-01-01"); 30])
        .instants("revoked_at", &vec![None; 30])
        .instants("expires_at", &vec![None; 30])
        .write(&scene.work.path("consents.parquet"));
    let partner = "[[partner]]\nid = \"partner-a\"\ntitle = \"Partner a\"\nkey = \"env:SESAME_TEST_PARTNER_KEY\"\nkey_id = \"a-1\"\n\
                   key_period = \"2025-Q4\"\n";
    std::fs::write(scene.work.path("partners.toml"), partner).unwrap();
    let declared = format!("partners=\"{}\"", scene.work.path("partners.toml").display());
    let consents = format!("inputs.consents=\"{}\"", scene.work.path("consents.parquet").display());
    let release = |at: &str| {
        let more = ["--partner", "partner-a", "--set", declared.as_str(), "--set", consents.as_str(), "--at", at];
        keyed("release", &more)
    };
    let place = format!("/d/releases/partner=partner-a/as_of={AS_OF}");
    // The first is another release than the others, and no line tells of it.
    let noon = "2025-11-05T12:00:00Z";
    for (step, at) in [("release uploaded", "2025-11-05T11:00:00Z"), ("line put", noon), ("release replaced", noon)] {
        let mut command = scene.command("one", &release(at));
        let ended = command.env("SESAME_KILL_AT", step).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        // The third is killed where it does what the second left undone.
        assert!(ended.code().is_none(), "{step}");
        // What is not done yet does not fail.
        scene.verify("d");
    }
    scene.sesame("two", &release("2025-11-05T12:00:00Z")).expect(0).says("nothing to do");
    let receipt: Value =
        serde_json::from_slice(&scene.server.object(&format!("{place}/receipt.json")).unwrap()).unwrap();
    let given = scene.server.object(&format!("{place}/release.parquet")).unwrap();
    assert_eq!(receipt["files"]["release.parquet"]["blake3"], blake3::hash(&given).to_hex().as_str());
    scene.verify("d");

    // Killed where a file is replaced, and finished by another machine.
    std::fs::write(scene.work.path("ids.txt"), format!("{}\n", ids[0])).unwrap();
    let (list, notices) = (scene.work.path("ids.txt"), scene.work.path("notices"));
    let more = [
        "--ids",
        list.to_str().unwrap(),
        "--notices",
        notices.to_str().unwrap(),
        "--set",
        declared.as_str(),
        "--set",
        consents.as_str(),
    ];
    let erase = [keyed("erase", &more), words(["--yes"])].concat();
    scene.sesame("one", &keyed("erase", &more)).expect(0).says("nothing was changed");
    for step in ["erasure ordered", "erasure file noted", "erasure file replaced", "erasure receipt"] {
        let mut command = scene.command("one", &erase);
        let ended = command.env("SESAME_KILL_AT", step).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(ended.code().is_none(), "{step}");
    }
    // A run finishes it, and is published: it knows whom it leaves out.
    scene
        .sesame("two", &keyed("run", &["--set", declared.as_str()]))
        .expect(0)
        .says("finished the earlier erasure 1")
        .says("published");
    assert!(scene.server.object("/d/erasures/1/journal.ndjson").is_none());
    scene.verify("d");
    let url = scene.server.url("d");
    let url = url.as_str();
    scene.sesame("four", &words(["explain", "latest", ids[0].as_str(), "--output", url])).expect(2);
    scene.sesame("four", &words(["explain", "latest", ids[1].as_str(), "--output", url])).expect(0);
    // Shards leave the erased out as well, planned and made by machines that have seen nothing of it.
    let (plan, folder) = (scene.work.path("plan.json"), scene.work.path("shards"));
    let (plan, folder) = (plan.to_str().unwrap(), folder.to_str().unwrap());
    let shards =
        [words(["shard"]), keyed("plan", &["--known-by", "2025-11-20", "--shards", "2", "--out", plan])].concat();
    scene.sesame("five", &shards).expect(0);
    assert!(std::fs::read_to_string(plan).unwrap().contains("\"who was erased\""), "the plan knows of no erasure");
    let made = ["0", "1"].map(|n| format!("{folder}/{n}"));
    std::fs::create_dir_all(folder).unwrap();
    for (n, to) in ["0", "1"].iter().zip(&made) {
        scene.sesame("six", &words(["shard", "rate", plan, "--shard", n, "--out", to.as_str()])).expect(0);
    }
    let gather = words(["shard", "gather", plan, made[0].as_str(), made[1].as_str()]);
    scene.sesame("seven", &gather).expect(0).says("published");
    let read_by_all = scene.work.path("gathered.parquet");
    std::fs::write(&read_by_all, scene.table("d").unwrap()).unwrap();
    assert!(!scored(&read_by_all).contains(&ids[0]));
    // A machine that has not come by since holds nothing of it once it has.
    scene.sesame("three", &words(["runs", "--output", url])).expect(0);
    for machine in ["two", "three", "four"] {
        let pattern = scene.work.path(machine).join("*/output/**/scores.parquet");
        for table in glob::glob(pattern.to_str().unwrap()).unwrap() {
            assert!(!scored(&table.unwrap()).contains(&ids[0]), "{machine} holds the erased");
        }
    }
}
