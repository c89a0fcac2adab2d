//! Shards: any number of them gives the bytes of one pass, in one process or in several, and what does not belong together is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use fastrand::Rng;
use serde_json::Value;

use crate::exports::{Export, read, repayments, subjects, write};
use crate::safety::{limited, on_a_disk};
use crate::workdir::{Ended, Workdir, repository};

/// Everything that a run publishes and keeps that must not depend on how it was made: every table, and the audit but for what it cost.
fn result(work: &Workdir, output: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = work.published(output);
    let runs = work.path(output).join("runs");
    for path in glob::glob(runs.join("**/*").to_str().unwrap()).unwrap().map(Result::unwrap) {
        let name = path.strip_prefix(&runs).unwrap().display().to_string();
        if name.ends_with(".parquet") || name.ends_with("distributions.json") {
            found.insert(name, std::fs::read(&path).unwrap());
        } else if name.ends_with("audit.json") {
            let mut audit: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert!(audit.as_object_mut().unwrap().remove("timings").is_some());
            found.insert(name, serde_json::to_vec_pretty(&audit).unwrap());
        }
    }
    found
}

/// Two results are the same; what differs is named.
fn same(work: &Workdir, one: &str, other: &str) {
    let (a, b) = (result(work, one), result(work, other));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differ: Vec<&&String> = names.iter().filter(|name| a.get(**name) != b.get(**name)).collect();
    assert!(differ.is_empty(), "{one} and {other} differ: {differ:?}");
    assert!(a.keys().any(|n| n.ends_with("scores.parquet")) && a.keys().any(|n| n.ends_with("audit.json")));
}

fn small() -> PathBuf {
    repository("data-samples/small")
}

#[test]
fn any_number_of_shards_gives_the_bytes_of_one_pass() {
    let work = Workdir::new();
    // An earlier run, for the gates that compare and for drift.
    work.run(&small(), "before", &["--as-of", "2025-09-30"]).expect(0);
    work.copy(&work.path("before"), "whole");
    work.run(&small(), "whole", &[]).expect(0);
    let files = result(&work, "whole");
    let some = |what: &str| files.keys().filter(|name| name.contains(what)).count();
    assert!(some("features/") >= 8 && some("evidence/") >= 4 && some("scores.parquet") >= 2, "{:?}", files.keys());
    // With 1KB all that may lie in scratch does.
    for (shards, memory) in [("1", "1MB"), ("3", "1KB"), ("8", "1MB")] {
        let output = format!("of-{shards}");
        work.copy(&work.path("before"), &output);
        let ended = work.run(&small(), &output, &["--shards", shards, "--memory", memory]).expect(0);
        assert!(ended.err.contains(&format!("shard {shards} of {shards}")), "{}", ended.err);
        same(&work, "whole", &output);
        // Whoever asks again, in whatever way, is told that it is there.
        work.run(&small(), &output, &[]).expect(0).says("nothing to do");
        work.run(&small(), &output, &["--shards", "5"]).expect(0).says("nothing to do");
    }
    work.run(&small(), "none", &["--shards", "0"]).expect(2);
    work.run(&small(), "none", &["--shards", "100000"]).expect(2);
}

#[test]
fn stages_of_shards_are_those_of_one_pass() {
    let work = Workdir::new();
    work.run(&small(), "whole", &[]).expect(0);
    work.run(&small(), "parted", &["--shards", "4"]).expect(0);
    let stages = |output: &str| -> BTreeMap<String, Vec<u8>> {
        let root = work.path(output).join("stages");
        let files = glob::glob(root.join("*/*/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap);
        // Ties are kept as threads find them.
        let files = files.filter(|path| !path.ends_with("ties.parquet"));
        let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
        files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
    };
    let (whole, parted) = (stages("whole"), stages("parted"));
    let differ: Vec<&String> = whole.keys().filter(|name| whole.get(*name) != parted.get(*name)).collect();
    assert!(differ.is_empty() && whole.len() == parted.len() && whole.len() > 15, "{differ:?} of {:?}", parted.keys());
    // Nothing is left of the shards themselves.
    let left = work.path("parted/stages").read_dir().unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
}

/// How many rows of a table were read, each time, as the log tells it.
fn read_of(log: &str, table: &str) -> Vec<u64> {
    let stage = format!("read {table} ");
    let lines = log.lines().filter(|line| line.starts_with(&stage));
    lines.map(|line| line.split_whitespace().nth(2).unwrap().replace(',', "").parse().unwrap()).collect()
}

#[test]
fn every_export_is_read_once_whatever_the_number_of_shards() {
    let work = Workdir::new();
    let whole = work.run(&small(), "whole", &[]).expect(0).err;
    // Also where the rows of a shard take all there is before the last tables are read.
    for (output, memory) in [("parted", "512MB"), ("scarce", "1MB"), ("full", "100KB")] {
        let parted = work.run(&small(), output, &["--shards", "4", "--memory", memory]).expect(0).err;
        same(&work, "whole", output);
        assert!(!parted.contains("are not kept"), "{parted}");
        let records = ["repayments", "utility_payments", "purchases", "sales", "public_records"];
        for table in records.into_iter().chain(["subjects", "consents", "outcomes", "groups"]) {
            let (all, each) = (read_of(&whole, table), read_of(&parted, table));
            assert!(all.len() == 1 && all[0] > 0 && each.len() == 4, "{table}: {all:?} {each:?}");
            // The first shard reads the export, the others what it kept for them: together no more than all of it.
            let others: u64 = each[1..].iter().sum();
            assert!(each[0] == all[0] && others > 0 && others <= all[0], "{table}: {all:?} {each:?}");
        }
    }
}

#[test]
fn a_scratch_disk_that_fills_up_has_the_exports_read_again() {
    let work = Workdir::new();
    let (export, rows) = (work.path("export"), 6_000);
    let mut rng = Rng::with_seed(4);
    Export::new()
        .column("subject_id", texts(60, |n| Some(format!("s{n:02}"))))
        .text("kind", (0..60).map(|_| "consumer"))
        .write(&export.join("subjects.parquet"));
    // Words that take much room on the way and none in what is published.
    let words = texts(rows, |_| Some((0..400).map(|_| rng.alphanumeric()).collect()));
    Export::new()
        .column("record_id", texts(rows, |n| Some(format!("r{n}"))))
        .column("subject_id", texts(rows, |n| Some(format!("s{:02}", n % 60))))
        .text("account_id", (0..rows).map(|_| "a1"))
        .text("product", (0..rows).map(|_| "instalment"))
        .date("due_on", &(0..rows).map(|_| Some("2024-11-05")).collect::<Vec<_>>())
        .long("amount_due_minor", (0..rows).map(|_| 10_000))
        .long("amount_paid_minor", (0..rows).map(|_| 10_000))
        .date("paid_on", &(0..rows).map(|_| Some("2024-11-05")).collect::<Vec<_>>())
        .text("currency", (0..rows).map(|_| "CNY"))
        .column("status", words)
        .write(&export.join("repayments.parquet"));
    let mut flags = vec!["--as-of", "2025-01-31"];
    for set in ["consent_statement=\"test\"", "gates.min_scored_share=0.0", "gates.max_age_days=100000"] {
        flags.extend(["--set", set]);
    }
    work.run(&export, "whole", &flags).expect(0);
    let parted = [&flags[..], &["--shards", "3"]].concat();
    let ended = limited(&work, &work.arguments("run", &export, "limited", &parted), 600);
    let ended = ended.expect(0).says("the rows of repayments are not kept for the other shards");
    assert_eq!(read_of(&ended.err, "repayments"), [6_000, 6_000, 6_000], "{}", ended.err);
    same(&work, "whole", "limited");
    let ended = work.run(&export, "parted", &parted).expect(0);
    let read = read_of(&ended.err, "repayments");
    assert!(read[0] == 6_000 && read[1] + read[2] < 6_000, "{read:?}");
    same(&work, "whole", "parted");
    // Nothing is left where rows were kept.
    let left = work.path("parted/stages").read_dir().unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
}

#[test]
fn a_disk_that_suffices_without_rows_put_aside_suffices_with_them() {
    let work = Workdir::new();
    let disk = work.path("disk");
    std::fs::create_dir(&disk).unwrap();
    work.run(&small(), "whole", &[]).expect(0);
    let run = |output: &str, memory: &str, kilobytes: u32| {
        let scratch = disk.display().to_string();
        let flags = ["--shards", "2", "--memory", memory, "--scratch", &scratch];
        on_a_disk(&work, &work.arguments("run", &small(), output, &flags), &disk, kilobytes)
    };
    let mut given_up = 0;
    for kilobytes in [2_300, 2_500, 2_700, 3_200] {
        let (read, aside) = (format!("read-{kilobytes}"), format!("aside-{kilobytes}"));
        // With so little memory nobody could know where rows are, and none are put aside.
        let Some(ended) = run(&read, "1KB", kilobytes) else { return };
        let ended = ended.expect(0).says("are not kept");
        assert!(!ended.err.contains("are given up"), "{}", ended.err);
        let ended = run(&aside, "60KB", kilobytes).unwrap().expect(0);
        same(&work, "whole", &aside);
        given_up += usize::from(ended.err.contains("the rows that were put aside there are given up"));
    }
    assert!(given_up > 0, "no disk was too small for both");
    // One that does not suffice at all is told of as ever.
    let ended = run("never", "60KB", 900).unwrap().expect(2).says("No space left on device");
    assert!(ended.err.matches("are given up").count() <= 1 && work.published("never").is_empty(), "{}", ended.err);
}

#[test]
fn what_a_select_makes_of_rows_is_divided_as_they_are() {
    let work = Workdir::new();
    let (export, model) = (work.path("export"), model(&work));
    hostile(&export, 17);
    let of = |table: &str, path: &str, select: &str| {
        format!("inputs.{table}={{ path = \"{}\", select = \"{select}\" }}", export.join(path).display())
    };
    let some = "SELECT * FROM export WHERE amount_due_minor > 200000";
    let twice = format!("{some} UNION ALL SELECT * FROM export WHERE product = 'revolving'");
    let tax = "SELECT * FROM export WHERE kind = 'tax'";
    let selects = [of("repayments", "repayments", &twice), of("public_records", "public_records.parquet", tax)];
    let sets: Vec<&str> = selects.iter().flat_map(|select| ["--set", select.as_str()]).collect();
    work.run_small(&export, "whole", &lax(&model, &sets)).expect(0);
    let conservation = &work.audit("whole")["conservation"];
    assert!(conservation["repayments"]["left_out"].as_u64() > Some(0), "{conservation}");
    for shards in ["2", "7"] {
        let output = format!("of-{shards}");
        let flags = [&sets[..], &["--shards", shards]].concat();
        let ended = work.run_small(&export, &output, &lax(&model, &flags)).expect(0);
        assert!(!ended.err.contains("are not kept"), "{}", ended.err);
        same(&work, "whole", &output);
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// Rows of a column.
fn texts(rows: usize, of: impl FnMut(usize) -> Option<String>) -> ArrayRef {
    Arc::new((0..rows).map(of).collect::<StringArray>())
}

/// A small population with all that could fall between two shards: records of one id with several subjects, disputes that name nobody,
/// somebody unknown or several, subjects that come later, links to all of them, hubs, policy rules, repeated and contradicting rows.
fn hostile(to: &Path, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let known: Vec<String> = (0..90).map(|n| format!("s{n:03}")).collect();
    // Some that nobody knows as well.
    let named: Vec<String> = (0..100).map(|n| format!("s{n:03}")).collect();
    let day = |rng: &mut Rng| sesame::contract::day_text(rng.i64(19_300..20_140));
    let rows = known.len() + 6;
    let id = |n: usize| match n {
        90 => None,
        91 => Some("someone@example.com".to_owned()),
        n => Some(known[n % 90].clone()),
    };
    // Every eleventh registers after the as-of date.
    let registered: Vec<String> =
        (0..rows).map(|n| if n % 90 % 11 == 5 { "2025-06-01".to_owned() } else { "2021-03-01".to_owned() }).collect();
    Export::new()
        .column("subject_id", texts(rows, id))
        .text("kind", (0..rows).map(|_| "consumer"))
        .date("registered_on", &registered.iter().map(|d| Some(d.as_str())).collect::<Vec<_>>())
        .write(&to.join("subjects.parquet"));
    for file in 0..3 {
        let rows = 400;
        let owner: Vec<Option<String>> =
            (0..rows).map(|_| (rng.u8(..) > 3).then(|| pick(&mut rng, &named).clone())).collect();
        let due: Vec<String> = (0..rows).map(|_| day(&mut rng)).collect();
        let paid: Vec<Option<String>> = due.iter().map(|d| (rng.u8(..) > 90).then(|| d.clone())).collect();
        let known_at: Vec<Option<String>> = (0..rows)
            .map(|_| (rng.u8(..) > 200).then(|| pick(&mut rng, &["2024-12-01", "2025-03-01"]).to_string()))
            .collect();
        let amounts: Vec<i64> = (0..rows).map(|_| if rng.u8(..) < 4 { -1 } else { rng.i64(1_000..900_000) }).collect();
        Export::new()
            .column("record_id", texts(rows, |_| Some(format!("r{}", rng.u16(..250)))))
            .column("subject_id", texts(rows, |n| owner[n].clone()))
            .text("account_id", (0..rows).map(|_| "a1"))
            .text("product", (0..rows).map(|n| if n % 5 == 0 { "revolving" } else { "instalment" }))
            .date("due_on", &due.iter().map(|d| Some(d.as_str())).collect::<Vec<_>>())
            .long("amount_due_minor", amounts.iter().copied())
            .long("amount_paid_minor", amounts.iter().map(|a| if a % 3 == 0 { 0 } else { (*a).max(0) }))
            .date("paid_on", &paid.iter().map(Option::as_deref).collect::<Vec<_>>())
            .text("currency", (0..rows).map(|n| if n % 41 == 7 { "EUR" } else { "CNY" }))
            .instants("known_at", &known_at.iter().map(Option::as_deref).collect::<Vec<_>>())
            .text("source_id", (0..rows).map(|n| if n % 4 == 0 { "weak" } else { "bank" }))
            .write(&to.join(format!("repayments/{file}.parquet")));
    }
    Export::new()
        .text("source_id", ["bank", "weak", "weak"])
        .text("kind", ["bank", "other", "other"])
        .double("reliability", [1.0, 0.25, 0.25])
        .write(&to.join("sources.parquet"));
    let rows = 40;
    Export::new()
        .column("record_id", texts(rows, |n| Some(format!("p{}", n % 30))))
        .column("subject_id", texts(rows, |_| Some(pick(&mut rng, &named).clone())))
        .text("kind", (0..rows).map(|n| if n % 3 == 0 { "tax" } else { "court_defaulter" }))
        .column("listed_on", {
            let days: Vec<i32> = (0..rows).map(|_| rng.i32(19_300..20_140)).collect();
            Arc::new(arrow::array::Date32Array::from(days))
        })
        .text("status", (0..rows).map(|n| if n % 4 == 0 { "satisfied" } else { "active" }))
        .text("match", (0..rows).map(|_| "exact"))
        .write(&to.join("public_records.parquet"));
    let rows = 120;
    let ids: Vec<String> = (0..rows).map(|_| format!("d{}", rng.u8(..70))).collect();
    let about: Vec<&str> =
        (0..rows).map(|_| *pick(&mut rng, &["repayments", "repayments", "public_records"])).collect();
    Export::new()
        .text("dispute_id", ids.iter().map(String::as_str))
        .text("table", about.iter().copied())
        .column("record_id", {
            texts(rows, |n| {
                Some(if about[n] == "repayments" {
                    format!("r{}", rng.u16(..260))
                } else {
                    format!("p{}", rng.u8(..34))
                })
            })
        })
        .column("subject_id", texts(rows, |_| rng.bool().then(|| pick(&mut rng, &named).clone())))
        .instants(
            "opened_at",
            &(0..rows).map(|n| Some(if n % 9 == 0 { "2025-05-01" } else { "2024-11-03" })).collect::<Vec<_>>(),
        )
        .text("state", (0..rows).map(|n| ["open", "upheld", "rejected", "open"][n % 4]))
        .write(&to.join("disputes.parquet"));
    let rows = 900;
    let ends: Vec<(String, String)> = (0..rows)
        .map(|n| match n {
            // A hub that nearly everyone is tied to.
            0..100 => ("s001".to_owned(), named[n].clone()),
            _ => (pick(&mut rng, &named).clone(), pick(&mut rng, &named).clone()),
        })
        .collect();
    let since: Vec<String> = (0..rows).map(|_| day(&mut rng)).collect();
    Export::new()
        .column("subject_a", texts(rows, |n| Some(ends[n].0.clone()).filter(|_| n % 97 != 3)))
        .column(
            "subject_b",
            texts(rows, |n| Some(if n % 101 == 9 { "13912345678".to_owned() } else { ends[n].1.clone() })),
        )
        .date("since", &since.iter().map(|d| Some(d.as_str())).collect::<Vec<_>>())
        .date("until", &(0..rows).map(|n| (n % 13 == 0).then_some("2025-01-15")).collect::<Vec<_>>())
        .column("interactions_90d", {
            let all: Vec<Option<i64>> = (0..rows).map(|n| (n % 5 > 0).then(|| rng.i64(0..40))).collect();
            Arc::new(Int64Array::from(all))
        })
        .write(&to.join("friend_links.parquet"));
    let rows = 2 * named.len() + 10;
    let revoked: Vec<Option<&str>> = (0..rows).map(|n| (n % 17 == 2).then_some("2024-12-24")).collect();
    Export::new()
        .column("subject_id", texts(rows, |n| Some(named[n % named.len()].clone()).filter(|_| n != rows - 1)))
        .text("purpose", (0..rows).map(|n| if n < named.len() { "score" } else { "network" }))
        .instants("granted_at", &(0..rows).map(|_| Some("2022-01-01")).collect::<Vec<_>>())
        .instants("revoked_at", &revoked)
        .write(&to.join("consents.parquet"));
    let rows = 110;
    Export::new()
        .column("subject_id", texts(rows, |n| Some(named[n % named.len()].clone())))
        .column("region", texts(rows, |n| (n % 7 > 0).then(|| ["north", "south", "east"][n * 7 % 3].to_owned())))
        .text("sector", (0..rows).map(|n| if n % 2 == 0 { "x" } else { "y" }))
        .write(&to.join("groups.parquet"));
    Export::new()
        .column("subject_id", texts(rows, |n| Some(named[n % named.len()].clone())))
        .date(
            "as_of",
            &(0..rows).map(|n| Some(if n % 23 == 1 { "2024-12-31" } else { "2025-01-31" })).collect::<Vec<_>>(),
        )
        .long("horizon_days", (0..rows).map(|n| if n % 3 == 0 { 90 } else { 360 }))
        .column("bad", Arc::new(arrow::array::BooleanArray::from((0..rows).map(|n| n % 4 == 1).collect::<Vec<bool>>())))
        .write(&to.join("outcomes.parquet"));
}

/// The repository's model, in which few ties count, so that hubs have more.
fn model(work: &Workdir) -> String {
    std::fs::create_dir_all(work.path("model")).unwrap();
    work.copy(&repository("pipelines/models"), "model");
    work.copy(&repository("pipelines/features"), "model");
    let path = work.path("model/models/standard.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\nmax_ties = 200 "));
    std::fs::write(&path, text.replace("\nmax_ties = 200 ", "\nmax_ties = 4 ")).unwrap();
    path.display().to_string()
}

/// The flags with which a hostile population is scored: everything is shown.
fn lax<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["--model", model, "--set", "privacy.min_cell=1"].into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn what_could_fall_between_two_shards_does_not() {
    let work = Workdir::new();
    let model = model(&work);
    for seed in [3, 11, 2026] {
        let export = work.path(&format!("export-{seed}"));
        hostile(&export, seed);
        let whole = format!("whole-{seed}");
        work.run_small(&export, &whole, &lax(&model, &[])).expect(0);
        let audit = work.audit(&whole);
        // The population is as hostile as it is meant to be.
        let disputes = &audit["disputes"]["by_table"]["repayments"];
        assert!(
            ["without_record", "of_several_subjects"].iter().all(|what| disputes[what].as_u64() > Some(0)),
            "{disputes}"
        );
        assert!(audit["disputes"]["records"].as_i64() > Some(0));
        let dropped = &audit["conservation"]["friend_links"]["dropped_because"];
        assert!(
            ["self_link", "unknown_subject", "no_consent", "ended"].iter().all(|why| dropped[why].as_u64() > Some(0))
        );
        assert!(audit["propagation"]["beyond_max_ties"].as_u64() > Some(0));
        for table in ["subjects", "repayments", "friend_links"] {
            assert!(audit["conservation"][table]["not_visible"].as_u64() > Some(0), "{table}");
        }
        assert!(
            ["subjects", "repayments", "disputes", "friend_links", "consents", "groups"]
                .iter()
                .all(|table| { audit["quarantine"][table].as_object().is_some_and(|rules| !rules.is_empty()) }),
            "{}",
            audit["quarantine"]
        );
        assert!(audit["quality"].is_object() && audit["fairness"]["columns"].as_array().unwrap().len() == 2);
        for shards in ["1", "3", "8"] {
            let output = format!("{whole}-{shards}");
            work.run_small(&export, &output, &lax(&model, &["--shards", shards])).expect(0);
            same(&work, &whole, &output);
        }
    }
}

/// Plans shards of an export and returns the plan.
fn planned(work: &Workdir, export: &Path, output: &str, more: &[&str]) -> PathBuf {
    let args: Vec<String> = work.arguments("plan", export, output, more);
    let spec = work.path(&format!("{output}.json"));
    let args = std::iter::once("shard".to_owned()).chain(args).chain(["--out".to_owned(), spec.display().to_string()]);
    work.sesame(args).expect(0);
    spec
}

/// The flags with which three shards of a hostile population are planned, to be scored as `run_small` does.
fn of_three(model: &str) -> Vec<&str> {
    let mut small = vec!["--shards", "3", "--as-of", "2025-01-31"];
    for set in [
        "consent_statement=\"test\"",
        "gates.max_quarantined_share=1.0",
        "gates.min_scored_share=0.0",
        "gates.max_age_days=100000",
    ] {
        small.extend(["--set", set]);
    }
    lax(model, &small)
}

fn rated(work: &Workdir, spec: &Path, shard: usize, to: &str, more: &[&str]) -> Ended {
    let number = shard.to_string();
    let (spec, to) = (spec.display().to_string(), work.path(to).display().to_string());
    let args = ["shard", "rate", &spec, "--shard", &number, "--out", &to];
    work.sesame(args.into_iter().chain(more.iter().copied()))
}

fn gathered(work: &Workdir, spec: &Path, shards: &[String]) -> Ended {
    let shards: Vec<String> = shards.iter().map(|shard| work.path(shard).display().to_string()).collect();
    let first = ["shard".to_owned(), "gather".to_owned(), spec.display().to_string()];
    work.sesame(first.into_iter().chain(shards))
}

/// Names of shards' folders.
fn folders(of: &str, shards: usize) -> Vec<String> {
    (0..shards).map(|n| format!("{of}/{n}")).collect()
}

#[test]
fn processes_that_know_nothing_of_each_other_give_the_bytes_of_one() {
    let work = Workdir::new();
    work.run(&small(), "whole", &[]).expect(0);
    let spec = planned(&work, &small(), "out", &["--shards", "3"]);
    assert!(!work.path("out").exists(), "a plan writes nothing but itself");
    let plan: Value = serde_json::from_slice(&std::fs::read(&spec).unwrap()).unwrap();
    let goes =
        |table: &str| plan["tables"].as_array().unwrap().iter().find(|t| t["table"] == table).unwrap()["goes"].clone();
    assert_eq!(
        [goes("repayments"), goes("disputes"), goes("sources"), goes("friend_links")],
        ["by_subject", "to_every_shard", "to_every_shard", "to_gather"]
    );
    assert!(plan["friends"]["rounds"].as_u64() > Some(0));
    let shards = folders("shards", 3);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &["--threads", "1"]).expect(0).says("subjects in");
    }
    assert!(!work.path("out").exists(), "a shard is its folder and nothing else");
    rated(&work, &spec, 0, &shards[0], &[]).expect(2).says("is there already");
    rated(&work, &spec, 3, "shards/3", &[]).expect(2).says("numbered from 0");
    gathered(&work, &spec, &shards).expect(0).says("published");
    same(&work, "whole", "out");
    work.run(&small(), "out", &[]).expect(0).says("nothing to do");
    gathered(&work, &spec, &shards).expect(0).says("nothing to do");
}

#[test]
fn what_does_not_belong_together_is_not_put_together() {
    let work = Workdir::new();
    let spec = planned(&work, &small(), "out", &["--shards", "2"]);
    let other = planned(&work, &small(), "other", &["--shards", "2", "--as-of", "2025-09-30"]);
    let shards = folders("shards", 2);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &[]).expect(0);
    }
    rated(&work, &other, 1, "another", &[]).expect(0);
    let with = |second: &str| gathered(&work, &spec, &[shards[0].clone(), second.to_owned()]).expect(2);
    with("another").says("it was made for another plan");
    with("shards/0").says("is there more than once");
    with("nowhere").says("nowhere");
    gathered(&work, &spec, &shards[..1]).expect(2).says("shard 1 of 2 is missing");
    // One byte of one file.
    let changed = |name: &str, change: &dyn Fn(&Path)| {
        work.copy(&work.path("shards/1"), name);
        change(&work.path(name));
        with(name)
    };
    let pattern =
        |folder: &Path, below: &str| glob::glob(folder.join(below).to_str().unwrap()).unwrap().next().unwrap().unwrap();
    changed("flipped", &|folder| {
        let path = pattern(folder, "stages/features-credit_history/*/features.parquet");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    })
    .says("was changed since it was made");
    changed("lacking", &|folder| std::fs::remove_file(pattern(folder, "later.parquet")).unwrap()).says("is missing");
    let edit = |path: &Path, from: &str, to: &str| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "nothing says {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    changed("built", &|folder| edit(&folder.join("shard.json"), "\"build\": \"", "\"build\": \"0"))
        .says("another build of the program made it");
    changed("renumbered", &|folder| edit(&folder.join("shard.json"), "\"shard\": 1", "\"shard\": 0"))
        .says("is there more than once");
    assert!(!work.path("out/scores").exists(), "something was published");
    std::fs::copy(&spec, work.path("built.json")).unwrap();
    edit(&work.path("built.json"), "\"build\": \"", "\"build\": \"0");
    rated(&work, &work.path("built.json"), 0, "never", &[]).expect(2).says("another build of the program");
    gathered(&work, &work.path("built.json"), &shards).expect(2).says("another build of the program");
    assert!(!work.path("never").exists());
    // All is well where nothing was changed.
    gathered(&work, &spec, &shards).expect(0);
}

#[test]
fn inputs_that_change_under_way_stop_the_shards_and_the_gathering() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    repayments().write(&work.path("export/repayments.parquet"));
    let gates = ["--shards", "2", "--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
    let spec = planned(&work, &work.path("export"), "out", &gates);
    let shards = folders("shards", 2);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &[]).expect(0);
    }
    repayments().long("amount_paid_minor", [1, 2]).write(&work.path("export/repayments.parquet"));
    rated(&work, &spec, 0, "late", &[]).expect(2).says("changed since the shards were planned");
    assert!(!work.path("late").exists());
    gathered(&work, &spec, &shards).expect(2).says("inputs.repayments changed");
    assert!(!work.path("out/scores").exists());
}

#[test]
fn what_is_wrong_in_every_shard_is_told_at_once() {
    let work = Workdir::new();
    let ids: Vec<String> = (0..40).flat_map(|n| [format!("s{n}"), format!("s{n}")]).collect();
    Export::new()
        .text("subject_id", ids.iter().map(String::as_str))
        .text("kind", (0..80).map(|n| if n % 2 == 0 { "consumer" } else { "small_business" }))
        .write(&work.path("export/subjects.parquet"));
    repayments().write(&work.path("export/repayments.parquet"));
    let ended = work.run_small(&work.path("export"), "out", &["--shards", "4"]).expect(2);
    let told = (0..40).filter(|n| ended.err.contains(&format!("row {} contradicts row {}", 2 * n + 1, 2 * n))).count();
    assert_eq!(told, 40, "{}", ended.err);
    let contradictions = |ended: &Ended| -> Vec<String> {
        ended.err.lines().filter(|line| line.contains("contradicts")).map(str::to_owned).collect()
    };
    let one_pass = work.run_small(&work.path("export"), "out", &[]).expect(2);
    assert_eq!(contradictions(&ended), contradictions(&one_pass));
    assert!(!work.path("out/scores").exists());
    let more = ["--shards", "2", "--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
    let spec = planned(&work, &work.path("export"), "apart", &more);
    let shards = folders("shards", 2);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &[]).expect(2).says("contradicts");
    }
    let ended = gathered(&work, &spec, &shards).expect(2).says("shard 0 of 2").says("shard 1 of 2");
    assert_eq!(ended.err.matches("contradicts").count(), 40, "{}", ended.err);
    // Monitoring is told of it as of any run that failed.
    let metrics = std::fs::read_to_string(work.path("apart/metrics.prom")).unwrap();
    assert!(metrics.contains("exit"), "{metrics}");
    let state = glob::glob(work.path("apart/runs/2025-01-31-failed-*/state.json").to_str().unwrap()).unwrap();
    let states: Vec<String> = state.map(|path| std::fs::read_to_string(path.unwrap()).unwrap()).collect();
    assert!(states.len() == 1 && states[0].contains("contradicts"), "{states:?}");
}

#[test]
fn a_gathering_that_fails_on_its_shards_calls_the_pipelines_command() {
    let work = Workdir::new();
    let called = work.path("called");
    let hook = format!("on_failure=[\"touch\", \"{}\"]", called.display());
    let spec = planned(&work, &small(), "out", &["--shards", "2", "--set", &hook]);
    rated(&work, &spec, 0, "shards/0", &[]).expect(0);
    assert!(!called.exists());
    gathered(&work, &spec, &["shards/0".to_owned()]).expect(2).says("shard 1 of 2 is missing");
    assert!(called.exists(), "nobody was told");
}

#[test]
fn a_run_that_is_published_already_needs_no_shards() {
    let work = Workdir::new();
    let published = |spec: &Path| {
        let plan: Value = serde_json::from_slice(&std::fs::read(spec).unwrap()).unwrap();
        plan["published"].as_bool().unwrap()
    };
    let spec = planned(&work, &small(), "out", &["--shards", "2"]);
    assert!(!published(&spec));
    gathered(&work, &spec, &[]).expect(2).says("there is no shard");
    work.run(&small(), "out", &[]).expect(0);
    let spec = planned(&work, &small(), "out", &["--shards", "2"]);
    assert!(published(&spec));
    gathered(&work, &spec, &[]).expect(0).says("nothing to do");
}

#[test]
fn a_shard_is_not_made_where_the_erasures_are_not_seen() {
    let work = Workdir::new();
    let guarded = |args: Vec<String>| {
        let mut command = work.command(args);
        work.ended(command.env("SESAME_TEST_KEY", "0123456789abcdef"))
    };
    let key = ["--set", "privacy.ledger_key=\"env:SESAME_TEST_KEY\""];
    guarded(work.arguments("run", &small(), "out", &key)).expect(0);
    let table = read(&work.scores_path("out"));
    let id = table.column_by_name("subject_id").unwrap().as_string::<i32>().value(3).to_owned();
    std::fs::write(work.path("ids.txt"), format!("{id}\n")).unwrap();
    let ids = work.path("ids.txt").display().to_string();
    guarded(work.arguments("erase", &small(), "out", &[&key[..], &["--ids", &ids, "--yes"]].concat())).expect(0);
    let spec = work.path("spec.json").display().to_string();
    let plan = work.arguments("plan", &small(), "out", &[&key[..], &["--shards", "2", "--out", &spec]].concat());
    guarded(std::iter::once("shard".to_owned()).chain(plan).collect()).expect(0);
    let rate = |to: &str| {
        let to = work.path(to).display().to_string();
        guarded(["shard", "rate", &spec, "--shard", "0", "--out", &to].map(ToOwned::to_owned).to_vec())
    };
    rate("seen").expect(0);
    std::fs::rename(work.path("out"), work.path("away")).unwrap();
    rate("unseen").expect(2).says("has to see the output folder");
    assert!(!work.path("unseen").exists());
}

/// An export of some subjects with so many regions, one each; the rows of the first one contradict each other.
fn regions(to: &Path, regions: usize) {
    let ids: Vec<String> = (0..60).map(|n| format!("s{n:02}")).collect();
    Export::new()
        .text("subject_id", ids.iter().map(String::as_str))
        .text("kind", ids.iter().map(|_| "consumer"))
        .write(&to.join("subjects.parquet"));
    repayments().text("subject_id", ["s01", "s02"]).write(&to.join("repayments.parquet"));
    let words: Vec<String> = (0..regions).map(|n| format!("region-{n:02}")).collect();
    // The last word is told by a row that contradicts another one alone.
    let owners = (1..regions).chain([0, 0]).map(|n| ids[n].as_str());
    let told = (0..regions - 1).chain([0, regions - 1]).map(|n| words[n].as_str());
    Export::new().text("subject_id", owners).text("region", told).write(&to.join("groups.parquet"));
}

#[test]
fn groups_are_counted_as_in_one_pass() {
    let work = Workdir::new();
    regions(&work.path("many"), 51);
    regions(&work.path("few"), 50);
    work.run_small(&work.path("many"), "whole", &[]).expect(2).says("more than 50 different values");
    work.run_small(&work.path("many"), "parted", &["--shards", "2"]).expect(2).says("more than 50 different values");
    let more = ["--shards", "2", "--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
    let spec = planned(&work, &work.path("many"), "apart", &more);
    let shards = folders("shards", 2);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &[]).expect(0);
    }
    gathered(&work, &spec, &shards).expect(2).says("more than 50 different values");
    work.run_small(&work.path("few"), "few-whole", &[]).expect(0);
    work.run_small(&work.path("few"), "few-parted", &["--shards", "2"]).expect(0);
    same(&work, "few-whole", "few-parted");
    // Where one shard alone has too many, its folder says so, and is gathered with what is wrong in others.
    regions(&work.path("alone"), 60);
    let more = ["--shards", "1", "--as-of", "2025-01-31", "--set", "consent_statement=\"test\""];
    let spec = planned(&work, &work.path("alone"), "one", &more);
    rated(&work, &spec, 0, "one-shard", &[]).expect(2).says("more than 50 different values");
    gathered(&work, &spec, &["one-shard".to_owned()]).expect(2).says("shard 0 of 1: ").says("the column `region`");
}

#[test]
fn a_shard_that_is_killed_is_not_there_and_a_run_that_is_killed_publishes_nothing() {
    let work = Workdir::new();
    work.run(&small(), "whole", &[]).expect(0);
    let spec = planned(&work, &small(), "out", &["--shards", "2"]);
    let spec_text = spec.display().to_string();
    let mut rng = Rng::with_seed(17);
    let started = Instant::now();
    rated(&work, &spec, 0, "timed", &[]).expect(0);
    let takes = started.elapsed();
    let killed = |args: &[&str], after: Duration| {
        let mut child = work.command(args).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    };
    let mut kills = 0;
    for n in 0..6 {
        let to = work.path(&format!("killed-{n}")).display().to_string();
        if killed(&["shard", "rate", &spec_text, "--shard", "0", "--out", &to], takes.mul_f64(0.9 * rng.f64())) {
            kills += 1;
            // Either it is not there, or it is whole.
            assert!(!Path::new(&to).exists() || Path::new(&to).join("shard.json").exists());
        }
    }
    assert!(kills > 0, "none was killed before it ended");
    let sharded = work.arguments("run", &small(), "cut", &["--shards", "3"]);
    let sharded: Vec<&str> = sharded.iter().map(String::as_str).collect();
    killed(&sharded, takes);
    assert!(!work.path("cut/scores").exists() || work.scores("cut") == work.scores("whole"));
    work.run(&small(), "cut", &["--shards", "3"]).expect(0);
    assert!(work.scores("cut") == work.scores("whole"));
    let left = work.path("cut/stages").read_dir().unwrap().map(|e| e.unwrap().file_name());
    assert!(
        left.into_iter().all(|name| !name.to_string_lossy().starts_with(".new-")),
        "shards of the killed run are left"
    );
}

/// Writes rows with the place they were in.
fn placed(to: &Path, rows: &RecordBatch, file: &str, numbers: &[u32]) {
    let chosen = take_record_batch(rows, &UInt32Array::from(numbers.to_vec())).unwrap();
    let mut fields: Vec<Field> = chosen.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.extend([Field::new("_file", DataType::Utf8, true), Field::new("_row", DataType::Int64, true)]);
    let mut columns = chosen.columns().to_vec();
    columns.push(Arc::new(StringArray::from_iter_values(numbers.iter().map(|_| file))));
    columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| i64::from(*n)))));
    write(to, &RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap());
}

/// Divides an export as another engine would, by a hash of its own and in an order of its own.
fn shuffled(plan: &Value, to: &Path, shards: usize) {
    let ids = |rows: &RecordBatch, column: &str| rows.column_by_name(column).unwrap().as_string::<i32>().clone();
    let shard_of = |id: Option<&str>| id.map_or(0, |id| id.bytes().map(usize::from).sum::<usize>() % shards);
    let table = |name: &str| plan["tables"].as_array().unwrap().iter().find(|t| t["table"] == name).unwrap().clone();
    let files = |table: &Value| -> Vec<(String, String, RecordBatch)> {
        let file = |f: &Value| {
            let path = f["path"].as_str().unwrap().to_owned();
            (f["label"].as_str().unwrap().to_owned(), path.clone(), read(Path::new(&path)))
        };
        table["files"].as_array().unwrap().iter().map(file).collect()
    };
    for table in plan["tables"].as_array().unwrap() {
        let name = table["table"].as_str().unwrap();
        for (n, (label, path, rows)) in files(table).into_iter().enumerate() {
            let all: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).rev().collect();
            for shard in 0..shards {
                let own: Vec<u32> = match table["goes"].as_str().unwrap() {
                    "to_gather" => continue,
                    "to_every_shard" => all.clone(),
                    _ => {
                        let ids = ids(&rows, "subject_id");
                        let id = |row: u32| ids.is_valid(row as usize).then(|| ids.value(row as usize));
                        all.iter().copied().filter(|row| shard_of(id(*row)) == shard).collect()
                    }
                };
                // Spark tells a path, others a label.
                let file = if n % 2 == 0 { format!("file://{path}") } else { label.clone() };
                placed(&to.join(format!("{shard}/{name}/part-{n}.parquet")), &rows, &file, &own);
            }
        }
    }
    let disputes: Vec<StringArray> = files(&table("disputes")).iter().map(|f| ids(&f.2, "subject_id")).collect();
    let named: BTreeSet<&str> = disputes.iter().flat_map(|ids| ids.iter().flatten()).collect();
    for (n, (label, _, rows)) in files(&table("subjects")).into_iter().enumerate() {
        let ids = ids(&rows, "subject_id");
        let is_named = |row: &u32| ids.is_valid(*row as usize) && named.contains(ids.value(*row as usize));
        let own: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).filter(is_named).collect();
        for shard in 0..shards {
            placed(&to.join(format!("{shard}/disputed_subjects/part-{n}.parquet")), &rows, &label, &own);
        }
    }
}

#[test]
fn rows_that_another_engine_divided_give_the_same_bytes() {
    let work = Workdir::new();
    let (export, model) = (work.path("export"), model(&work));
    hostile(&export, 5);
    work.run_small(&export, "whole", &lax(&model, &[])).expect(0);
    let spec = planned(&work, &export, "out", &of_three(&model));
    let plan: Value = serde_json::from_slice(&std::fs::read(&spec).unwrap()).unwrap();
    shuffled(&plan, &work.path("rows"), 3);
    let shards = folders("shards", 3);
    for (n, shard) in shards.iter().enumerate() {
        let rows = work.path(&format!("rows/{n}")).display().to_string();
        rated(&work, &spec, n, shard, &["--input", &rows]).expect(0);
    }
    gathered(&work, &spec, &shards).expect(0);
    same(&work, "whole", "out");
    // A table that is not there at all is not a table without rows.
    std::fs::remove_dir_all(work.path("rows/1/repayments")).unwrap();
    let rows = work.path("rows/1").display().to_string();
    rated(&work, &spec, 1, "lacking", &["--input", &rows]).expect(2).says("is missing");
    // Rows of two shards that were mixed up are found.
    let rows = work.path("rows/2").display().to_string();
    rated(&work, &spec, 1, "mixed", &["--input", &rows]).expect(0);
    let mixed = [shards[0].clone(), "mixed".to_owned(), shards[2].clone()];
    std::fs::remove_dir_all(work.path("out")).unwrap();
    gathered(&work, &spec, &mixed).expect(2).says("were lost or doubled where they were divided");
    // A row that was lost while another was doubled leaves their number as it was.
    let part = work.path("rows/0/repayments/part-0.parquet");
    let rows = read(&part);
    let with = |numbers: &dyn Fn(u32) -> u32| {
        let all: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).map(numbers).collect();
        write(&part, &take_record_batch(&rows, &UInt32Array::from(all)).unwrap());
    };
    let input = work.path("rows/0").display().to_string();
    with(&|n| if n == 1 { 0 } else { n });
    rated(&work, &spec, 0, "doubled", &["--input", &input]).expect(0);
    let doubled = ["doubled".to_owned(), shards[1].clone(), shards[2].clone()];
    gathered(&work, &spec, &doubled).expect(2).says("some were lost and as many doubled");
    with(&|n| n);
    // A number that no row has, and a file that was not planned with.
    let column = |name: &str, values: ArrayRef| {
        let mut columns = rows.columns().to_vec();
        columns[rows.schema().index_of(name).unwrap()] = values;
        write(&part, &RecordBatch::try_new(rows.schema(), columns).unwrap());
    };
    column("_row", Arc::new(Int64Array::from(vec![-3; rows.num_rows()])));
    rated(&work, &spec, 0, "negative", &["--input", &input]).expect(2).says("rows are numbered from 0");
    let elsewhere = format!("file://{}", work.path("export/repayments/month=2025-03/0.parquet").display());
    column("_file", texts(rows.num_rows(), |_| Some(elsewhere.clone())));
    rated(&work, &spec, 0, "elsewhere", &["--input", &input]).expect(2).says("_file").says("no file that was planned");
    with(&|n| n);
    // Where the other tables are divided by another hash than the subjects, their subjects would be unknown.
    let place = |shard: usize, table: &str| work.path(&format!("rows/{shard}/{table}"));
    for table in ["consents", "public_records"] {
        std::fs::rename(place(0, table), work.path("held")).unwrap();
        std::fs::rename(place(2, table), place(0, table)).unwrap();
        std::fs::rename(work.path("held"), place(2, table)).unwrap();
    }
    let apart = folders("apart", 3);
    for shard in [0, 2] {
        let rows = work.path(&format!("rows/{shard}")).display().to_string();
        rated(&work, &spec, shard, &apart[shard], &["--input", &rows]).expect(0);
    }
    let apart = [apart[0].clone(), shards[1].clone(), apart[2].clone()];
    gathered(&work, &spec, &apart).expect(2).says("subjects that it does not know");
    assert!(!work.path("out/scores").exists());
    // Shards of the program's own division and of another engine's do not fit.
    rated(&work, &spec, 0, "own", &[]).expect(0);
    let own = ["own".to_owned(), shards[1].clone(), shards[2].clone()];
    gathered(&work, &spec, &own).expect(2).says("divided the rows of 2 of 3 shards");
    gathered(&work, &spec, &shards).expect(0).says("published");
    same(&work, "whole", "out");
}

/// Stages an export as an engine would that alone can read it; `version` stands for the content of its files.
fn staged(plan: &Value, to: &Path, shards: usize, version: &str) {
    shuffled(plan, to, shards);
    let moved = |from: String, to: PathBuf| std::fs::rename(from, to).unwrap();
    let mut tables = Vec::new();
    for table in plan["tables"].as_array().unwrap() {
        let (name, goes) = (table["table"].as_str().unwrap(), table["goes"].as_str().unwrap());
        let (rows, files) = (to.join(name), table["files"].as_array().unwrap());
        match goes {
            "by_subject" => {
                std::fs::create_dir_all(&rows).unwrap();
                for shard in 0..shards {
                    moved(
                        to.join(format!("{shard}/{name}")).display().to_string(),
                        rows.join(format!("shard={shard}")),
                    );
                }
            }
            "to_every_shard" => moved(to.join(format!("0/{name}")).display().to_string(), rows),
            _ => {
                for (n, file) in files.iter().enumerate() {
                    let path = file["path"].as_str().unwrap();
                    let all = read(Path::new(path));
                    let numbers: Vec<u32> = (0..u32::try_from(all.num_rows()).unwrap()).rev().collect();
                    placed(&rows.join(format!("part-{n}.parquet")), &all, &format!("file://{path}"), &numbers);
                }
            }
        }
        let file = |file: &Value| {
            serde_json::json!({
                "label": file["label"],
                "place": format!("file://{}", file["path"].as_str().unwrap()),
                "rows": file["rows"],
                "bytes": 7,
                "version": version,
            })
        };
        let files: Vec<Value> = files.iter().map(file).collect();
        let divided = goes == "by_subject";
        tables.push(serde_json::json!({ "table": name, "rows": name, "divided": divided, "files": files }));
    }
    moved(to.join("0/disputed_subjects").display().to_string(), to.join("disputed_subjects"));
    let told = serde_json::json!({
        "schema": 1, "shards": shards, "tables": tables, "disputed_subjects": "disputed_subjects",
    });
    std::fs::write(to.join("tables.json"), told.to_string()).unwrap();
}

/// A result without the run's name and what is told of its inputs.
fn apart_from_inputs(work: &Workdir, output: &str) -> BTreeMap<String, Vec<u8>> {
    let without = |(name, bytes): (String, Vec<u8>)| match name.split_once('/') {
        Some((run, below)) if below == "audit.json" => {
            let text = String::from_utf8(bytes).unwrap().replace(run, "RUN");
            let mut audit: Value = serde_json::from_str(&text).unwrap();
            assert!(audit.as_object_mut().unwrap().remove("inputs").is_some());
            (below.to_owned(), serde_json::to_vec_pretty(&audit).unwrap())
        }
        Some((run, below)) if work.path(output).join("runs").join(run).is_dir() => (below.to_owned(), bytes),
        _ => (name, bytes),
    };
    result(work, output).into_iter().map(without).collect()
}

#[test]
fn tables_that_another_engine_alone_reads_give_the_same_bytes() {
    let work = Workdir::new();
    let (export, model) = (work.path("export"), model(&work));
    hostile(&export, 7);
    work.run_small(&export, "whole", &lax(&model, &[])).expect(0);
    let spec = planned(&work, &export, "read", &of_three(&model));
    let plan: Value = serde_json::from_slice(&std::fs::read(&spec).unwrap()).unwrap();
    assert!(plan.get("staged").is_none());
    let place = work.path("staged");
    staged(&plan, &place, 3, "delta:0b1c@17");
    // From here on nobody but the other engine can read the tables.
    for path in glob::glob(export.join("**/*.parquet").to_str().unwrap()).unwrap().map(Result::unwrap) {
        std::fs::write(path, "no Parquet").unwrap();
    }
    let folder = place.display().to_string();
    let flags: Vec<&str> = of_three(&model).into_iter().chain(["--staged", folder.as_str()]).collect();
    let spec = planned(&work, &export, "out", &flags);
    let shards = folders("shards", 3);
    for (n, shard) in shards.iter().enumerate() {
        rated(&work, &spec, n, shard, &[]).expect(0);
    }
    rated(&work, &spec, 0, "again", &["--input", &folder]).expect(2).says("leave --input out");
    gathered(&work, &spec, &shards).expect(0).says("published");
    let (whole, out) = (apart_from_inputs(&work, "whole"), apart_from_inputs(&work, "out"));
    let names: BTreeSet<&String> = whole.keys().chain(out.keys()).collect();
    let differ: Vec<&&String> = names.iter().filter(|name| whole.get(**name) != out.get(**name)).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(whole.len() > 15 && work.scores("whole") == work.scores("out"));
    // The manifest tells versions, and nobody looks for them.
    let manifest =
        glob::glob(work.path("out/runs/*/manifest.json").to_str().unwrap()).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(manifest).unwrap();
    assert!(text.contains("\"version:delta:0b1c@17\"") && !text.contains("file://"), "{text}");
    let output = work.path("out").display().to_string();
    work.sesame(["verify", "latest", "--output", &output]).expect(0).says("by version, not looked at");
    work.sesame(["verify", "latest", "--output", &output, "--replay"]).expect(2).says("read by another engine alone");
    gathered(&work, &spec, &shards).expect(0).says("nothing to do");
    // Another version is another input, and what is staged must be what was planned with.
    let told = std::fs::read_to_string(place.join("tables.json")).unwrap();
    std::fs::write(place.join("tables.json"), told.replace("0b1c@17", "0b1c@18")).unwrap();
    gathered(&work, &spec, &shards).expect(2).says("changed since the shards were planned");
    rated(&work, &spec, 0, "late", &[]).expect(2).says("changed since the shards were planned");
    let other = planned(&work, &export, "other", &flags);
    let run = |spec: &Path| serde_json::from_slice::<Value>(&std::fs::read(spec).unwrap()).unwrap()["run"].clone();
    assert_ne!(run(&spec), run(&other));
    // Rows that were lost on the way are found by their number.
    let few = told.replacen("\"rows\":400", "\"rows\":401", 1);
    assert!(few != told);
    std::fs::write(place.join("tables.json"), few).unwrap();
    let lost = planned(&work, &export, "lost", &flags);
    for n in 0..3 {
        rated(&work, &lost, n, &format!("lost-{n}"), &[]).expect(0);
    }
    gathered(&work, &lost, &["lost-0", "lost-1", "lost-2"].map(ToOwned::to_owned)).expect(2).says("lost or doubled");
    assert!(!work.path("lost/scores").exists());
}

#[test]
fn what_is_staged_has_to_be_what_the_pipeline_names() {
    let work = Workdir::new();
    let spec = planned(&work, &small(), "read", &["--shards", "2"]);
    let plan: Value = serde_json::from_slice(&std::fs::read(&spec).unwrap()).unwrap();
    let place = work.path("staged");
    staged(&plan, &place, 2, "iceberg:7");
    let folder = place.display().to_string();
    let refused = |more: &[&str], says: &str| {
        let mut args = vec!["shard".to_owned()];
        args.extend(work.arguments("plan", &small(), "out", &["--staged", &folder]));
        args.extend(more.iter().map(ToString::to_string));
        work.sesame(args).expect(2).says(says);
    };
    refused(&["--shards", "3"], "is divided into 2 shards");
    refused(&["--shards", "2", "--set", "inputs.sales=\"\""], "sales is staged");
    let select = "inputs.sales={ path = \"x\", select = \"SELECT * FROM export\" }";
    refused(&["--shards", "2", "--set", select], "inputs.sales has a `select`");
    let told = std::fs::read_to_string(place.join("tables.json")).unwrap();
    std::fs::write(place.join("tables.json"), told.replacen("\"table\":\"sales\"", "\"table\":\"sails\"", 1)).unwrap();
    refused(&["--shards", "2"], "inputs.sales is not staged");
    std::fs::write(place.join("tables.json"), told.replacen("\"divided\":true", "\"divided\":false", 1)).unwrap();
    refused(&["--shards", "2"], "has to be staged divided by subject");
    std::fs::remove_file(place.join("tables.json")).unwrap();
    refused(&["--shards", "2"], "tables.json");
}

#[test]
fn rows_are_put_aside_encrypted_where_a_key_is_named_and_come_to_the_same() {
    let work = Workdir::new();
    let sets = "privacy.keys={ write = \"2026-11\", at = { \"2026-11\" = \"env:SESAME_SHARDS_KEY\" } }";
    let run = |output: &str, more: &[&str]| {
        let flags = [&["--set", sets][..], more].concat();
        let mut command = work.command(work.arguments("run", &small(), output, &flags));
        command.env("SESAME_SHARDS_KEY", "00112233445566778899aabbccddeeff".repeat(2));
        work.ended(&mut command).expect(0)
    };
    // What is not encrypted: an encrypted file has other bytes each time.
    let plain = |output: &str| -> Vec<Value> {
        let pattern = work.path(output).join("runs/*/distributions.json");
        let path = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
        let audit = work.audit(output);
        let told = ["conservation", "quarantine", "disputes", "features"].map(|what| audit[what].clone());
        let distributions = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        told.into_iter().chain([distributions]).collect()
    };
    run("whole", &[]);
    let ended = run("parted", &["--shards", "3"]);
    let read = read_of(&ended.err, "repayments");
    assert!(read.len() == 3 && read[1] + read[2] <= read[0] && !ended.err.contains("are not kept"), "{}", ended.err);
    assert!(plain("whole").iter().all(|value| !value.is_null()));
    assert_eq!(plain("whole"), plain("parted"));
}

#[test]
fn shards_are_encrypted_where_tables_are() {
    let work = Workdir::new();
    let sets = "privacy.keys={ write = \"2026-11\", at = { \"2026-11\" = \"env:SESAME_SHARDS_KEY\" } }";
    let with_key = |args: Vec<String>| {
        let mut command = work.command(args);
        command.env("SESAME_SHARDS_KEY", "00112233445566778899aabbccddeeff".repeat(2));
        work.ended(&mut command)
    };
    let spec = work.path("spec.json").display().to_string();
    let mut plan = vec!["shard".to_owned()];
    plan.extend(work.arguments("plan", &small(), "out", &["--shards", "2", "--set", sets, "--out", &spec]));
    with_key(plan).expect(0);
    for shard in ["0", "1"] {
        let to = work.path(shard).display().to_string();
        let args = ["shard", "rate", &spec, "--shard", shard, "--out", &to];
        with_key(args.map(ToOwned::to_owned).to_vec()).expect(0);
    }
    let subjects = read(&small().join("subjects.parquet"));
    let ids = subjects.column_by_name("subject_id").unwrap().as_string::<i32>().clone();
    let mut files = 0;
    for path in glob::glob(work.path("[01]/**/*").to_str().unwrap()).unwrap().map(Result::unwrap) {
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            files += 1;
            for id in ids.iter().flatten().take(40) {
                assert!(!bytes.windows(id.len()).any(|w| w == id.as_bytes()), "{id} in {}", path.display());
            }
        }
    }
    assert!(files > 30, "{files} files");
    let to = ["0", "1"].map(|shard| work.path(shard).display().to_string());
    let args: Vec<String> = ["shard".to_owned(), "gather".to_owned(), spec].into_iter().chain(to).collect();
    with_key(args.clone()).expect(0).says("published");
    // Without the key nothing opens.
    std::fs::remove_dir_all(work.path("out")).unwrap();
    work.sesame(args).expect(2).says("SESAME_SHARDS_KEY");
}
