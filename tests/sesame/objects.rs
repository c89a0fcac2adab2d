//! Inputs in object stores and on web servers: the same bytes of scores as from files, only what is read is fetched, several requests at
//! a time, and what goes wrong there is told. The server is one of the tests' own (`server.rs`); where `SESAME_PYTHON` names a Python with
//! moto, also another's.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::WriterProperties;

use crate::exports;
use crate::server::{Answer, Server, Told};
use crate::workdir::{CORPUS, Ended, Workdir, inputs, repository};

const SMALL: &str = "data-samples/small";
/// A population of twenty, a file for each table.
const TWENTY: &str = "tests/files/fuzz";

/// A command with what the environment says of an object store.
fn against(endpoint: &str, mut command: Command) -> Command {
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_REGION", "us-east-1"),
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ] {
        command.env(name, value);
    }
    command
}

/// The arguments of a command on the nightly pipeline, whose inputs lie at a URL as they lie in a folder of the repository.
fn arguments(work: &Workdir, command: &str, folder: &str, url: &str, output: &str, more: &[&str]) -> Vec<String> {
    let folder = repository(folder);
    let mut args = vec![command.to_owned(), repository("pipelines/nightly.toml").display().to_string()];
    args.extend(inputs(&folder).iter().map(|arg| arg.replace(&folder.display().to_string(), url)));
    args.extend(["--set".to_owned(), format!("output=\"{}\"", work.path(output).display())]);
    args.extend(more.iter().map(ToString::to_string));
    args
}

fn sesame(work: &Workdir, server: &Server, args: &[String]) -> Ended {
    work.ended(&mut against(&server.endpoint(), work.command(args)))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

/// What lets a run over the twenty publish.
fn lenient() -> Vec<&'static str> {
    let sets = [
        "consent_statement=\"test\"",
        "gates.max_quarantined_share=1.0",
        "gates.min_scored_share=0.0",
        "gates.max_age_days=100000",
    ];
    let mut args = vec!["--as-of", "2025-10-31"];
    args.extend(sets.into_iter().flat_map(|set| ["--set", set]));
    args
}

/// Serves the twenty, and runs over them by their web addresses.
fn twenty(work: &Workdir, server: &Server, output: &str, more: &[&str]) -> Ended {
    let url = format!("{}/files", server.endpoint());
    sesame(work, server, &arguments(work, "run", TWENTY, &url, output, &[&lenient(), more].concat()))
}

fn serving_twenty() -> Server {
    let server = Server::start();
    for table in CORPUS {
        server.serve(&repository(TWENTY).join(format!("{table}.parquet")), &format!("/files/{table}.parquet"));
    }
    server
}

/// The table of the twenty from files.
fn twenty_of_files(work: &Workdir) -> Vec<u8> {
    work.run(&repository(TWENTY), "local", &lenient()).expect(0);
    work.scores("local")
}

#[test]
fn a_store_yields_the_table_that_files_do_and_all_that_follows_from_it() {
    let (work, server) = (Workdir::new(), Server::start());
    server.serve(&repository(SMALL), "/lake/small");
    work.run(&repository(SMALL), "local", &[]).expect(0);
    let on = |command: &str, more: &[&str]| {
        sesame(&work, &server, &arguments(&work, command, SMALL, "s3://lake/small", "out", more))
    };
    on("check", &[]).expect(0);
    on("check", &["--sample", "50"]).expect(0);
    on("plan", &[]).expect(0);
    let logged = on("run", &["--log-format", "json"]).expect(0).says("\"fetched_bytes\":");
    let most = logged.err.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    assert!(most.filter_map(|line| line["requests_under_way"].as_u64()).max() > Some(1), "{}", logged.err);
    assert!(work.scores("out") == work.scores("local"));
    on("run", &[]).expect(0).says("nothing to do");
    // What is known of the inputs is their URLs and tags, with the labels that files have.
    let (of_files, of_objects) = (work.audit("local"), work.audit("out"));
    assert_eq!(of_files["conservation"], of_objects["conservation"]);
    for (file, object) in of_files["inputs"].as_array().unwrap().iter().zip(of_objects["inputs"].as_array().unwrap()) {
        assert_eq!((&file["name"], &file["annotations"]), (&object["name"], &object["annotations"]));
        assert!(file["digest"]["blake3"].is_string() && file["digest"]["tag"].is_null());
        assert!(object["digest"]["tag"].as_str().unwrap().starts_with("etag:v"), "{}", object["digest"]);
        assert!(object["uri"].as_str().unwrap().starts_with("s3://lake/small/"), "{}", object["uri"]);
    }
    let lineage = glob::glob(work.path("out/runs/*/lineage.ndjson").to_str().unwrap()).unwrap().next().unwrap();
    assert!(std::fs::read_to_string(lineage.unwrap()).unwrap().contains("\"namespace\":\"s3://lake\""));
    // A pattern finds what the folder holds, and what is selected is what files yield.
    let pattern = "inputs.purchases={ path = \"s3://lake/small/purch*/year=*\", select = \"SELECT * FROM export\" }";
    on("run", &["--set", pattern, "--set", &format!("output=\"{}\"", work.path("pattern").display())]).expect(0);
    assert!(work.scores("pattern") == work.scores("local"));
    // Everything else that reads inputs.
    let outcomes = "s3://lake/small/outcomes.parquet";
    let validate = format!("validate latest --output {} --outcomes {outcomes}", work.path("out").display());
    sesame(&work, &server, &words(&validate)).expect(0);
    let subject = {
        let subjects = exports::read(&repository(SMALL).join("subjects.parquet"));
        let ids = subjects.column_by_name("subject_id").unwrap().clone();
        arrow::array::AsArray::as_string::<i32>(&ids).value(0).to_owned()
    };
    let mut access = arguments(&work, "access", SMALL, "s3://lake/small", "out", &[]);
    access.insert(2, subject);
    sesame(&work, &server, &access).expect(0);
    sesame(&work, &server, &words("init new --from s3://lake/small")).expect(0);
    let written = std::fs::read_to_string(work.path("new/pipeline.toml")).unwrap();
    assert!(written.contains("\"s3://lake/small/repayments\""), "{written}");
    // Looked at again, an object is as it was, replaced, or gone.
    let verify = |more: &str| {
        let text = format!("verify latest --output {} {more}", work.path("out").display());
        sesame(&work, &server, &words(&text))
    };
    verify("").expect(0).says("input files as they were");
    verify("--replay").expect(0);
    let path = "/lake/small/disputes.parquet";
    let content = server.state.get(path).unwrap();
    server.state.put(path, content);
    verify("").expect(1).says("the input s3://lake/small/disputes.parquet was replaced");
    verify("--replay").expect(1);
    verify("--outputs-only").expect(0);
    server.state.remove(path);
    verify("").expect(0).says("1 no longer there");
    verify("--replay").expect(2).says("s3://lake/small/disputes.parquet is no longer there");
    on("run", &[]).expect(2).says("s3://lake/small/disputes.parquet does not exist");
}

#[test]
fn a_backfill_from_a_store_is_that_from_files() {
    let (work, server) = (Workdir::new(), Server::start());
    server.serve(&repository(SMALL), "/lake/small");
    let dates = ["--from", "2025-08-31", "--to", "2025-10-31", "--every", "month"];
    let local = work.sesame(work.arguments("backfill", &repository(SMALL), "local", &dates));
    let args = arguments(&work, "backfill", SMALL, "s3://lake/small", "out", &dates);
    sesame(&work, &server, &args).expect(local.code);
    assert!(!work.published("local").is_empty() && work.published("local") == work.published("out"));
}

#[test]
fn web_addresses_yield_the_table_that_files_do_by_several_requests_at_a_time() {
    let (work, server) = (Workdir::new(), serving_twenty());
    // Many row groups, of which each is fetched by itself.
    let rows = exports::read(&repository(TWENTY).join("repayments.parquet"));
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let path = work.path("repayments.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    server.serve(&path, "/files/repayments.parquet");
    // Its footer is asked for alone; who asks for a row group then waits for company.
    let opened = AtomicBool::new(false);
    server.rule(move |_, asked| {
        let part = asked.path.ends_with("/repayments.parquet") && asked.range.is_some();
        if part && opened.swap(true, Ordering::SeqCst) { Answer::InCompany } else { Answer::Properly }
    });
    twenty(&work, &server, "out", &["--threads", "1"]).expect(0);
    assert!(work.scores("out") == twenty_of_files(&work));
    assert!(server.most_under_way() > 1, "{} at a time", server.most_under_way());
}

#[test]
fn only_what_is_read_is_fetched() {
    let (work, server) = (Workdir::new(), serving_twenty());
    twenty(&work, &server, "narrow", &[]).expect(0);
    let narrow = server.sent();
    // The same table beside columns that nobody needs, before and behind those that are read, which do not compress.
    let rows = exports::read(&repository(TWENTY).join("repayments.parquet"));
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = || -> ArrayRef {
        let texts = (0..rows.num_rows()).map(|_| (0..20_000).map(|_| random.alphanumeric()).collect::<String>());
        Arc::new(StringArray::from_iter_values(texts))
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![("noise_before".to_owned(), noise())];
    let schema = rows.schema();
    columns.extend(schema.fields().iter().map(|f| f.name().clone()).zip(rows.columns().iter().cloned()));
    columns.push(("noise_behind".to_owned(), noise()));
    let wide = work.path("wide.parquet");
    exports::write(&wide, &arrow::array::RecordBatch::try_from_iter(columns).unwrap());
    let size = std::fs::metadata(&wide).unwrap().len();
    server.serve(&wide, "/files/repayments.parquet");
    twenty(&work, &server, "wide", &[]).expect(0);
    assert!(work.scores("narrow") == work.scores("wide"));
    let more = server.sent().saturating_sub(narrow);
    assert!(size > 1_000_000 && more < size / 2, "{more} bytes more were fetched of {size}");
}

#[test]
fn shards_ask_for_an_object_as_often_as_one_pass_does() {
    let asked = |more: &[&str]| {
        let (work, server) = (Workdir::new(), serving_twenty());
        let counted: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counts = Arc::clone(&counted);
        server.rule(move |_, asked| {
            *counts.lock().unwrap().entry(asked.path.clone()).or_default() += 1;
            Answer::Properly
        });
        twenty(&work, &server, "out", more).expect(0);
        let counted = counted.lock().unwrap().clone();
        (counted, work.scores("out"))
    };
    let ((whole, scores), (parted, same)) = (asked(&[]), asked(&["--shards", "4"]));
    assert!(scores == same && whole.len() >= CORPUS.len(), "{whole:?}");
    for (path, times) in &whole {
        // Those whom disputes name are looked for once more, whatever the number of shards.
        let twice = ["subjects", "disputes"].iter().any(|table| path.contains(table));
        let most = if twice { 2 * times } else { *times };
        assert!(
            parted.get(path).is_some_and(|parted| (*times..=most).contains(parted)),
            "{path}: {parted:?} of {whole:?}"
        );
    }
}

#[test]
fn throttling_and_cut_answers_are_tried_again() {
    let (work, server) = (Workdir::new(), serving_twenty());
    server.rule(|_, asked| match asked.number % 7 {
        3 => Answer::Status(503),
        5 if asked.range.is_some() => Answer::HalfOf,
        _ => Answer::Properly,
    });
    twenty(&work, &server, "out", &[]).expect(0);
    assert!(work.scores("out") == twenty_of_files(&work));
}

/// A run over the twenty whose store fails for good.
fn failed(server: &Server) -> (Workdir, Ended) {
    let work = Workdir::new();
    let url = format!("{}/files", server.endpoint());
    let args = arguments(&work, "run", TWENTY, &url, "out", &lenient());
    let mut command = against(&server.endpoint(), work.command(args));
    let ended = work.ended(command.env("SESAME_OBJECT_RETRIES", "1"));
    assert!(!work.path("out/scores").exists() || work.published("out").is_empty());
    (work, ended)
}

#[test]
fn what_goes_wrong_names_the_url_and_what_to_do() {
    let server = serving_twenty();
    let disputes = |asked: &crate::server::Asked| asked.path.ends_with("/disputes.parquet");
    server.rule(move |_, asked| if disputes(asked) { Answer::Status(503) } else { Answer::Properly });
    let (_, ended) = failed(&server);
    ended.expect(2).says("/files/disputes.parquet: the store is overloaded");
    server.rule(move |_, asked| if disputes(asked) { Answer::Status(403) } else { Answer::Properly });
    let (_, ended) = failed(&server);
    ended.expect(2).says("/files/disputes.parquet: access is denied");
    server.rule(|_, _| Answer::Properly);
    server.state.remove("/files/disputes.parquet");
    let (_, ended) = failed(&server);
    ended.expect(2).says("/files/disputes.parquet does not exist");
    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let work = Workdir::new();
    let input = format!("inputs.subjects=\"http://{free}/subjects.parquet\"");
    let args = work.arguments("check", &repository(TWENTY), "out", &["--set", &input]);
    let mut command = work.command(args);
    let ended = work.ended(command.env("SESAME_OBJECT_RETRIES", "0").env("NO_PROXY", "127.0.0.1"));
    ended.expect(2).says(&format!("http://{free}/subjects.parquet cannot be reached"));
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_stops_the_run() {
    let server = serving_twenty();
    // It is opened by one request; what is asked for then is of another object.
    let asked_before = AtomicUsize::new(0);
    server.rule(move |state, asked| {
        if asked.path.ends_with("/purchases.parquet")
            && asked.range.is_some()
            && asked_before.fetch_add(1, Ordering::SeqCst) == 1
        {
            let same = state.get(&asked.path).unwrap();
            state.put(&asked.path, same);
        }
        Answer::Properly
    });
    let (work, ended) = failed(&server);
    let ended = ended.expect(2).says("/files/purchases.parquet was changed or replaced while it was read");
    assert!(ended.err.contains("nothing was published"), "{}", ended.err);
    assert!(!work.path("out/scores").exists());
}

#[test]
fn weak_tags_do_with_a_warning_and_none_at_all_does_not() {
    let (work, server) = (Workdir::new(), serving_twenty());
    server.tell(Told::Weak);
    twenty(&work, &server, "out", &[]).expect(0).says("told by size and time of change alone");
    assert!(work.scores("out") == twenty_of_files(&work));
    let inputs = work.audit("out")["inputs"].clone();
    let tag = inputs[0]["digest"]["tag"].as_str().unwrap().to_owned();
    assert!(tag.starts_with("etag:W/") && tag.ends_with("modified:2026-01-01T00:00:00Z"), "{tag}");
    server.tell(Told::Nothing);
    let (_, ended) = failed(&server);
    ended.expect(2).says("the server tells neither an ETag nor when it was changed");
}

#[test]
fn what_cannot_be_listed_and_addresses_with_secrets_are_refused() {
    let work = Workdir::new();
    let refused = |url: &str| {
        let input = format!("inputs.subjects=\"{url}\"");
        work.sesame(work.arguments("check", &repository(TWENTY), "out", &["--set", &input])).expect(2)
    };
    refused("https://127.0.0.1:1/exports/").says("a web server lists no objects");
    refused("https://127.0.0.1:1/exports/*.parquet").says("a web server lists no objects");
    refused("ftp://127.0.0.1/exports").says("`ftp://` addresses are not supported");
    let ended =
        refused("https://127.0.0.1:1/x.parquet?X-Amz-Signature=c0ffee").says("an address with a query is not read");
    assert!(!ended.err.contains("c0ffee"), "{}", ended.err);
    for url in
        ["s3://KEY:c0ffee@bucket/x.parquet", "s3://bucket/x.parquet?X-Amz-Signature=c0ffee", "az://c/*?sig=c0ffee"]
    {
        let ended = refused(url).says("is not read");
        assert!(!ended.err.contains("c0ffee") && !ended.out.contains("c0ffee"), "{}", ended.err);
    }
}

#[test]
fn folders_of_objects_are_read_as_folders_of_files_are() {
    let (work, server) = (Workdir::new(), serving_twenty());
    let subjects = server.state.get("/files/subjects.parquet").unwrap();
    let check = |path: &str| {
        let input = format!("inputs.subjects=\"{path}\"");
        let args = work.arguments("check", &repository(TWENTY), "out", &[&lenient()[..], &["--set", &input]].concat());
        sesame(&work, &server, &args)
    };
    server.state.put("/lake/subjects/part=1/a.parquet", subjects.clone());
    server.state.put("/lake/subjects/_SUCCESS", Vec::new());
    server.state.put("/lake/subjects/part=1", Vec::new());
    check("s3://lake/subjects").expect(0);
    check("s3://lake/subjects/").expect(0);
    check("s3://lake/subj*/part=?/*.parquet").expect(0);
    check("s3://lake/none").expect(2).says("s3://lake/none does not exist");
    check("s3://lake/none*").expect(2).says("the pattern s3://lake/none* matches nothing");
    server.state.put("/lake/subjects/part=1/b.parquet.tmp", subjects);
    check("s3://lake/subjects").expect(2).says("s3://lake/subjects/part=1/b.parquet.tmp is not named *.parquet");
    server.state.remove("/lake/subjects/part=1/b.parquet.tmp");
    server.state.put("/lake/subjects/_delta_log/0.json", b"{}".to_vec());
    check("s3://lake/subjects").expect(2).says("s3://lake/subjects is a Delta table");
    server.state.put("/lake/text/subjects.csv", b"subject_id".to_vec());
    check("s3://lake/text").expect(2).says("holds no .parquet file; s3://lake/text/subjects.csv is no Parquet file");
    server.state.put("/lake/short.parquet", b"PAR1".to_vec());
    check("s3://lake/short.parquet").expect(2).says("not a readable Parquet file");
}

#[test]
fn an_encrypted_object_is_read_with_its_key() {
    let (work, server) = (Workdir::new(), serving_twenty());
    let rows = exports::read(&repository(TWENTY).join("consents.parquet"));
    let encryption = FileEncryptionProperties::builder((0..16).collect()).build().unwrap();
    let properties = WriterProperties::builder().with_file_encryption_properties(encryption).build();
    let path = work.path("consents.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    server.serve(&path, "/files/consents.parquet");
    let url = format!("{}/files", server.endpoint());
    let at = "privacy.keys={ at = { \"2026-11\" = \"env:SESAME_TEST_FILE_KEY\" } }";
    let args = arguments(&work, "run", TWENTY, &url, "out", &[&lenient()[..], &["--set", at]].concat());
    let mut command = against(&server.endpoint(), work.command(args));
    work.ended(command.env("SESAME_TEST_FILE_KEY", "AAECAwQFBgcICQoLDA0ODw==")).expect(0);
    assert!(work.scores("out") == twenty_of_files(&work));
    twenty(&work, &server, "without", &[]).expect(2).says("/files/consents.parquet").says("encrypted with a key");
}

/// One request to a server that speaks plain HTTP; the status.
fn request(address: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

/// Puts a file, or each file below a folder, into a bucket.
fn upload(address: &str, from: &Path, at: &str) {
    if from.is_dir() {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            upload(address, &entry.path(), &format!("{at}/{}", entry.file_name().to_str().unwrap()));
        }
    } else {
        assert_eq!(request(address, "PUT", at, &std::fs::read(from).unwrap()).unwrap(), "200", "{at}");
    }
}

#[test]
fn anothers_server_of_objects_yields_the_same_table() {
    let Some(python) = std::env::var_os("SESAME_PYTHON") else {
        eprintln!("SESAME_PYTHON names no Python: no other server was asked");
        return;
    };
    let has_moto = Command::new(&python).args(["-c", "import moto.server, flask"]).stderr(Stdio::null()).status();
    if !has_moto.unwrap().success() {
        eprintln!("SESAME_PYTHON has no moto: no other server was asked (pip install 'moto[server]')");
        return;
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = address.port().to_string();
    let program = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])";
    let mut command = Command::new(python);
    command.args(["-c", program, &port]).stdout(Stdio::null()).stderr(Stdio::null());
    let moto = Ending(command.spawn().unwrap());
    let address = address.to_string();
    // It takes a while until it listens.
    let up = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        request(&address, "PUT", "/lake", b"").is_ok_and(|status| status == "200")
    });
    assert!(up, "moto did not come up");
    upload(&address, &repository(SMALL), "/lake/small");
    let work = Workdir::new();
    work.run(&repository(SMALL), "local", &[]).expect(0);
    let mut command = work.command(arguments(&work, "run", SMALL, "s3://lake/small", "out", &[]));
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    work.ended(against(&format!("http://{address}"), command).env_remove("AWS_SKIP_SIGNATURE")).expect(0);
    assert!(work.scores("out") == work.scores("local"));
    drop(moto);
}

/// A process that ends with the test.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
