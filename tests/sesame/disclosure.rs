//! Nothing that is hidden can be solved from what is shown: everything an audit says of numbers of subjects is written down as
//! equations over who there is, and no small count follows from them.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int16Type;
use serde_json::Value;

use crate::exports::read;
use crate::workdir::{Workdir, repository};

/// Calculations with remainders of this prime tell whether a sum follows from others.
const PRIME: u128 = (1 << 61) - 1;

fn power(base: u128, mut exponent: u128) -> u128 {
    let (mut result, mut base) = (1, base % PRIME);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % PRIME;
        }
        base = base * base % PRIME;
        exponent >>= 1;
    }
    result
}

/// Sums over atoms that are known, in echelon form.
#[derive(Default)]
struct Known {
    rows: BTreeMap<usize, Vec<u128>>,
}

impl Known {
    fn reduced(&self, mut sum: Vec<u128>) -> Vec<u128> {
        for (pivot, row) in &self.rows {
            let factor = sum[*pivot];
            if factor != 0 {
                sum.iter_mut().zip(row).for_each(|(s, r)| *s = (*s + (PRIME - factor) * r) % PRIME);
            }
        }
        sum
    }

    fn learn(&mut self, sum: &[bool]) {
        let sum = self.reduced(sum.iter().map(|in_it| u128::from(*in_it)).collect());
        let Some(pivot) = sum.iter().position(|s| *s != 0) else { return };
        let inverse = power(sum[pivot], PRIME - 2);
        let row: Vec<u128> = sum.iter().map(|s| s * inverse % PRIME).collect();
        for other in self.rows.values_mut() {
            let factor = other[pivot];
            if factor != 0 {
                other.iter_mut().zip(&row).for_each(|(o, r)| *o = (*o + (PRIME - factor) * r) % PRIME);
            }
        }
        self.rows.insert(pivot, row);
    }

    fn follows(&self, sum: &[bool]) -> bool {
        self.reduced(sum.iter().map(|in_it| u128::from(*in_it)).collect()).iter().all(|s| *s == 0)
    }
}

/// A kind of subject and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Atom {
    status: String,
    segment: String,
    score: Option<i64>,
    bad: Option<bool>,
    groups: Vec<Option<String>>,
    /// Whether anything is told of its friends.
    friends: bool,
}

struct World {
    atoms: Vec<(Atom, u64)>,
    known: Known,
    least: u64,
    shown: usize,
}

impl World {
    fn sum(&self, of: &dyn Fn(&Atom) -> bool) -> (Vec<bool>, u64) {
        let in_it: Vec<bool> = self.atoms.iter().map(|(a, _)| of(a)).collect();
        let count = self.atoms.iter().zip(&in_it).filter(|(_, i)| **i).map(|(a, _)| a.1).sum();
        (in_it, count)
    }

    /// A number that is shown is right, not small, and from then on known.
    fn shows(&mut self, number: &Value, what: &str, of: &dyn Fn(&Atom) -> bool) {
        let (in_it, count) = self.sum(of);
        if let Some(number) = number.as_u64() {
            assert_eq!(number, count, "{what}");
            assert!(count == 0 || count >= self.least, "{what} shows {count}");
            self.known.learn(&in_it);
            if count == 0 {
                // Of nobody, every part is nobody.
                for at in (0..in_it.len()).filter(|at| in_it[*at]) {
                    self.known.learn(&(0..in_it.len()).map(|n| n == at).collect::<Vec<bool>>());
                }
            }
            self.shown += 1;
        }
    }

    fn hides_what_is_small(&self, what: &str, of: &dyn Fn(&Atom) -> bool) -> bool {
        let (in_it, count) = self.sum(of);
        let small = count > 0 && count < self.least;
        assert!(!(small && self.known.follows(&in_it)), "{what}, which are {count}, follow from what is shown");
        small
    }
}

fn text(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|v| v.map(ToOwned::to_owned)).collect()
}

fn world(work: &Workdir, export: &Path, outcomes: &Path, least: u64) -> World {
    let scores = read(&work.scores_path("out"));
    let outcomes = read(outcomes);
    let friends = glob::glob(work.path("out/runs/*/relationships.parquet").to_str().unwrap()).unwrap().next();
    let friends: Vec<Option<String>> = friends.map_or_else(Vec::new, |p| text(&read(&p.unwrap()), "subject_id"));
    let bad = outcomes.column_by_name("bad").unwrap().as_boolean().clone();
    let bad: BTreeMap<String, bool> =
        text(&outcomes, "subject_id").into_iter().enumerate().map(|(n, id)| (id.unwrap(), bad.value(n))).collect();
    let groups = read(&export.join("groups.parquet"));
    let (sex, age) = (text(&groups, "sex"), text(&groups, "age_band"));
    let groups: BTreeMap<String, Vec<Option<String>>> = text(&groups, "subject_id")
        .into_iter()
        .enumerate()
        .map(|(n, id)| (id.unwrap(), vec![sex[n].clone(), age[n].clone()]))
        .collect();
    let score = scores.column_by_name("score").unwrap().as_primitive::<Int16Type>().clone();
    let (status, segment) = (text(&scores, "status"), text(&scores, "segment"));
    let mut atoms: BTreeMap<Atom, u64> = BTreeMap::new();
    for (n, id) in text(&scores, "subject_id").into_iter().enumerate() {
        let id = id.unwrap();
        let atom = Atom {
            status: status[n].clone().unwrap(),
            segment: segment[n].clone().unwrap(),
            score: score.is_valid(n).then(|| i64::from(score.value(n))),
            bad: bad.get(&id).copied(),
            friends: friends.binary_search(&Some(id.clone())).is_ok(),
            groups: groups.get(&id).cloned().unwrap_or_else(|| vec![None, None]),
        };
        // That nobody with the other outcome is like this one is not known to who reads the audit.
        if let Some(bad) = atom.bad {
            atoms.entry(Atom { bad: Some(!bad), ..atom.clone() }).or_default();
        }
        *atoms.entry(atom).or_default() += 1;
    }
    World { atoms: atoms.into_iter().collect(), known: Known::default(), least, shown: 0 }
}

fn within(row: &Value, score: Option<i64>) -> bool {
    score.is_some_and(|s| (row["from"].as_i64().unwrap()..row["below"].as_i64().unwrap()).contains(&s))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Reads everything an audit shows of numbers of subjects.
fn learn(world: &mut World, audit: &Value) {
    let coverage = &audit["coverage"];
    world.shows(&coverage["scored"], "scored", &|a| a.score.is_some());
    // The number of subjects is that of a table's rows.
    let (all, _) = world.sum(&|_| true);
    world.known.learn(&all);
    for row in list(&coverage["statuses"]) {
        world.shows(&row["subjects"], &format!("{row}"), &|a| row["status"] == a.status.as_str());
    }
    for row in list(&coverage["segments"]) {
        world.shows(&row["subjects"], &format!("{row}"), &|a| row["segment"] == a.segment.as_str());
    }
    for row in list(&audit["scores"]["bands"]).iter().chain(&list(&audit["scores"]["histogram"])) {
        world.shows(&row["subjects"], &format!("{row}"), &|a| within(row, a.score));
    }
    for row in list(&audit["privileges"]) {
        let from = row["from"].as_i64().unwrap();
        world.shows(&row["subjects"], &format!("{row}"), &|a| a.score.is_some_and(|s| s >= from));
    }
    let propagation = &audit["propagation"];
    world.shows(&propagation["neutral"], "neutral", &|a| a.score.is_some() && !a.friends);
    world.shows(&propagation["lift"]["subjects"], "moved by friends", &|a| a.friends);
    let lifts = list(&propagation["lift"]["histogram"]);
    if !lifts.is_empty() {
        let sum = lifts.iter().map(|c| c["subjects"].as_u64().unwrap()).sum::<u64>();
        world.shows(&sum.into(), "the histogram of what friends moved", &|a| a.friends);
    }
    if let (Some(neutral), Some(share)) = (propagation["neutral"].as_f64(), propagation["neutral_share"].as_f64()) {
        let (_, scored) = world.sum(&|a| a.score.is_some());
        assert!((neutral / scored as f64 - share).abs() < 1e-3);
        world.shows(&scored.into(), "scored, by the share that is neutral", &|a| a.score.is_some());
    }
    for category in list(&audit["scores"]["categories"]) {
        let cells = list(&category["histogram"]);
        if cells.iter().all(|c| c["subjects"].is_u64()) {
            let sum = cells.iter().map(|c| c["subjects"].as_u64().unwrap()).sum::<u64>();
            world.shows(&sum.into(), "the histogram of a category", &|a| a.score.is_some());
        }
    }
    let quality = &audit["quality"];
    world.shows(&quality["subjects"], "with an outcome", &|a| a.score.is_some() && a.bad.is_some());
    world.shows(&quality["bad"], "bad", &|a| a.score.is_some() && a.bad == Some(true));
    for row in list(&quality["bands"]).iter().chain(&list(&quality["cells"])) {
        world.shows(&row["subjects"], &format!("{row}"), &|a| within(row, a.score) && a.bad.is_some());
        world.shows(&row["bad"], &format!("bad {row}"), &|a| within(row, a.score) && a.bad == Some(true));
    }
    for row in list(&quality["segments"]) {
        let of = |a: &Atom| a.score.is_some() && row["segment"] == a.segment.as_str();
        world.shows(&row["subjects"], &format!("{row}"), &|a| of(a) && a.bad.is_some());
        world.shows(&row["bad"], &format!("bad {row}"), &|a| of(a) && a.bad == Some(true));
    }
    for (n, column) in list(&audit["fairness"]["columns"]).iter().enumerate() {
        for group in list(&column["groups"]) {
            let of = |a: &Atom| a.score.is_some() && a.groups[n].as_deref() == group["group"].as_str();
            world.shows(&group["subjects"], &format!("{group}"), &of);
            for above in list(&group["approvals"]) {
                let from = above["from"].as_i64().unwrap();
                // A share of a group whose size is known is a number.
                let count = (above["share"].as_f64().unwrap() * group["subjects"].as_f64().unwrap()).round();
                let above = move |a: &Atom| a.score.is_some_and(|s| s >= from);
                world.shows(&Value::from(count as u64), &format!("{group} from {from}"), &|a| of(a) && above(a));
            }
        }
        world.shows(&column["not_told"], "not told", &|a| a.score.is_some() && a.groups[n].is_none());
    }
}

/// Asks for everything that could point at someone; returns how much of it was small.
fn ask(world: &World) -> usize {
    let distinct = |of: &dyn Fn(&Atom) -> String| -> Vec<String> {
        let mut all: Vec<String> = world.atoms.iter().map(|(a, _)| of(a)).collect();
        all.sort();
        all.dedup();
        all
    };
    let mut small = 0;
    let mut ask = |what: String, of: &dyn Fn(&Atom) -> bool| small += usize::from(world.hides_what_is_small(&what, of));
    ask("those without a score".to_owned(), &|a| a.score.is_none());
    ask("those with a score".to_owned(), &|a| a.score.is_some());
    ask("those with a score and no outcome".to_owned(), &|a| a.score.is_some() && a.bad.is_none());
    ask("those with few friends".to_owned(), &|a| a.score.is_some() && !a.friends);
    for status in distinct(&|a| a.status.clone()) {
        ask(format!("status {status}"), &|a| a.status == status);
    }
    for segment in distinct(&|a| a.segment.clone()) {
        ask(format!("segment {segment}"), &|a| a.segment == segment);
        ask(format!("segment {segment} without a score"), &|a| a.segment == segment && a.score.is_none());
        for bad in [None, Some(false), Some(true)] {
            ask(format!("segment {segment} {bad:?}"), &|a| a.segment == segment && a.score.is_some() && a.bad == bad);
        }
    }
    let mut ranges: Vec<(i64, i64)> = [(350, 550), (550, 600), (600, 650), (650, 700), (700, 951)].to_vec();
    ranges.extend((350..950).step_by(10).map(|from| (from, from + 10)));
    for (from, below) in ranges {
        let of = |a: &Atom| a.score.is_some_and(|s| (from..below).contains(&s));
        ask(format!("scores {from} to {below}"), &of);
        for bad in [None, Some(false), Some(true)] {
            ask(format!("scores {from} to {below} {bad:?}"), &|a| of(a) && a.bad == bad);
        }
        for n in 0..2 {
            for group in distinct(&|a| a.groups[n].clone().unwrap_or_default()) {
                let member = |a: &Atom| a.groups[n].clone().unwrap_or_default() == group;
                ask(format!("{group} from {from} to {below}"), &|a| of(a) && member(a));
                ask(format!("{group} from {from}"), &|a| a.score.is_some_and(|s| s >= from) && member(a));
            }
        }
    }
    small
}

/// Of every feature, no bin that is small follows from the others and their total.
fn bins_stay_hidden(work: &Workdir, audit: &Value, least: u64) {
    let folder = work.path("out/runs").read_dir().unwrap().next().unwrap().unwrap().path();
    let exact: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("distributions.json")).unwrap()).unwrap();
    for feature in list(&audit["features"]) {
        let name = feature["feature"].as_str().unwrap();
        let counts: Vec<u64> = list(&exact["features"][name]["subjects"]).iter().map(|c| c.as_u64().unwrap()).collect();
        let mut known = Known::default();
        let one = |at: usize| (0..counts.len()).map(|n| n == at).collect::<Vec<bool>>();
        if audit["coverage"]["scored"].is_u64() {
            known.learn(&vec![true; counts.len()]);
        }
        let none = list(&feature["bins"]).iter().position(|b| b["bin"] == "none").unwrap();
        if feature["category"] == "relationships" && audit["propagation"]["neutral"].is_u64() {
            known.learn(&one(none));
        }
        for (at, bin) in list(&feature["bins"]).iter().enumerate() {
            if let Some(shown) = bin["subjects"].as_u64() {
                assert!(shown == counts[at] && (shown == 0 || shown >= least), "{name} {bin}");
                known.learn(&one(at));
            }
        }
        for (at, count) in counts.iter().enumerate().filter(|(_, c)| **c > 0 && **c < least) {
            assert!(!known.follows(&one(at)), "{name}: the {count} of bin {at} follow from {}", feature["bins"]);
        }
    }
}

/// A population and how it is scored.
struct Case {
    export: std::path::PathBuf,
    outcomes: std::path::PathBuf,
    more: Vec<String>,
}

fn audited(work: &Workdir, case: &Case, least: u64) -> (World, Value, String) {
    let _ = std::fs::remove_dir_all(work.path("out"));
    let mut more = vec!["--set".to_owned(), format!("inputs.outcomes=\"{}\"", case.outcomes.display())];
    for set in ["gates.min_scored_share=0.0", "gates.max_quarantined_share=1.0", &format!("privacy.min_cell={least}")] {
        more.extend(["--set".to_owned(), set.to_owned()]);
    }
    more.extend(case.more.iter().cloned());
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let said = work.run(&case.export, "out", &more).expect(0).err;
    (world(work, &case.export, &case.outcomes, least), work.audit("out"), said)
}

/// The sample and made populations; each also with few subjects who have no score, and with few scored ones without an outcome.
fn cases(work: &Workdir) -> Vec<Case> {
    let mut exports = vec![repository("data-samples/small")];
    for (seed, subjects) in [("3", "120"), ("4", "400"), ("6", "400"), ("5", "2500")] {
        work.sesame(["generate", &format!("e{seed}"), "--subjects", subjects, "--seed", seed, "--months", "8"])
            .expect(0);
        exports.push(work.path(&format!("e{seed}")));
    }
    work.copy(&repository("pipelines/models"), "models");
    work.copy(&repository("pipelines/features"), "features");
    let model = work.path("models/standard.toml");
    let text = std::fs::read_to_string(&model).unwrap();
    let lax = text
        .replace(
            "COALESCE(statements, 0) < 6 AND COALESCE(utility_bills, 0) < 3",
            "COALESCE(statements, 0) < 0 AND COALESCE(utility_bills, 0) < 3",
        )
        .replace("COALESCE(months_since_purchase, 999)) >= 6", "COALESCE(months_since_purchase, 999)) >= 1000")
        .replace("conflicting_share >= 0.5", "conflicting_share >= 5");
    assert_ne!(text, lax);
    std::fs::write(&model, lax).unwrap();
    let everyone =
        ["--set", "inputs.consents=\"\"", "--set", "consent_statement=\"test\"", "--model", model.to_str().unwrap()];
    let everyone: Vec<String> = everyone.iter().map(ToString::to_string).collect();
    let mut cases = Vec::new();
    for (n, export) in exports.iter().enumerate() {
        let all = export.join("outcomes.parquet");
        let outcomes = read(&all);
        let fewer = work.path(&format!("outcomes{n}.parquet"));
        crate::exports::write(&fewer, &outcomes.slice(4, outcomes.num_rows() - 4));
        cases.push(Case { export: export.clone(), outcomes: all.clone(), more: Vec::new() });
        cases.push(Case { export: export.clone(), outcomes: fewer, more: Vec::new() });
        cases.push(Case { export: export.clone(), outcomes: all, more: everyone.clone() });
    }
    cases
}

#[test]
fn no_small_count_follows_from_what_an_audit_shows() {
    let work = Workdir::new();
    let (mut small, mut shown, mut few_unscored, mut few_without_outcome) = (0, 0, 0, 0);
    for case in cases(&work) {
        for least in [2, 10, 40] {
            let (mut world, audit, said) = audited(&work, &case, least);
            let few = |world: &World, of: &dyn Fn(&Atom) -> bool| (1..least).contains(&world.sum(of).1);
            let hidden = few(&world, &|a| a.score.is_none());
            few_unscored += u32::from(hidden);
            few_without_outcome += u32::from(few(&world, &|a| a.score.is_some() && a.bad.is_none()));
            // Where their number is hidden, so is every figure that would tell it.
            if hidden {
                let (_, scored) = world.sum(&|a| a.score.is_some());
                assert!(audit["coverage"]["scored"].is_null() && audit["scores"]["mean"].is_null(), "{audit}");
                assert!(audit["quality"]["subjects"].is_null(), "{}", audit["quality"]);
                let gate = audit["gates"].as_array().unwrap().iter().find(|g| g["gate"] == "min_scored_share").unwrap();
                assert!(gate["measured"].is_null() && !said.contains(&format!(" {scored} ")), "{said}");
            }
            learn(&mut world, &audit);
            small += ask(&world);
            shown += world.shown;
            bins_stay_hidden(&work, &audit, least);
        }
    }
    assert!(small > 1_000 && shown > 500, "{small} small counts asked for, {shown} shown");
    assert!(few_unscored > 2 && few_without_outcome > 2, "{few_unscored} {few_without_outcome}");
}

#[test]
fn a_count_that_does_follow_is_noticed() {
    // The test's own solver: two of three cells and their total give the third.
    let mut known = Known::default();
    known.learn(&[true, true, true]);
    known.learn(&[true, false, false]);
    assert!(!known.follows(&[false, true, false]));
    known.learn(&[false, true, false]);
    assert!(known.follows(&[false, false, true]) && !Known::default().follows(&[true, false, false]));
}
