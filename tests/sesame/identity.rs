//! What a result depends on: whatever can change a table makes a run, and what cannot makes none.

use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::exports::{read, write};
use crate::workdir::{CORPUS, Ended, Workdir, repository};

/// A folder with a pipeline, its model and a small export, and what is given on the command line.
struct Setting {
    work: Workdir,
    pipeline: &'static str,
    args: Vec<String>,
}

type Change = fn(&mut Setting);

impl Setting {
    fn new() -> Self {
        let work = Workdir::new();
        work.copy(&repository("pipelines"), "pipelines");
        work.copy(&repository("tests/files/fuzz"), "data");
        let text = std::fs::read_to_string(repository("pipelines/nightly.toml")).unwrap();
        let (head, _) = text.split_once("[inputs]").unwrap();
        let (_, gates) = text.split_once("[gates]").unwrap();
        let tables: String =
            CORPUS.iter().map(|t| format!("{t} = \"../data/{t}.parquet\"\n")).collect::<Vec<_>>().concat();
        std::fs::write(work.path("pipelines/nightly.toml"), format!("{head}[inputs]\n{tables}\n[gates]{gates}"))
            .unwrap();
        Self { work, pipeline: "pipelines/nightly.toml", args: Vec::new() }
    }

    fn run(&self, command: &str) -> Ended {
        let args = [command, self.pipeline].into_iter().map(ToOwned::to_owned);
        self.work.sesame(args.chain(self.args.iter().cloned()))
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.work.path(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn set(&mut self, set: &str) {
        self.args.extend(["--set".to_owned(), set.to_owned()]);
    }

    fn data(&self, table: &str) -> PathBuf {
        self.work.path(&format!("data/{table}.parquet"))
    }
}

const PIPELINE: &str = "pipelines/nightly.toml";
const MODEL: &str = "pipelines/models/standard.toml";
const FEATURES: &str = "pipelines/features/credit_history.toml";

/// What makes a run.
const MAKES: [(&str, Change); 24] = [
    ("another date", |s| s.args.extend(["--as-of", "2025-10-30"].map(Into::into))),
    ("another cut-off", |s| s.args.extend(["--known-by", "2025-11-05T00:00:00Z"].map(Into::into))),
    ("a currency", |s| s.set("currency=\"TWD\"")),
    ("the pipeline's name", |s| s.set("name=\"other\"")),
    ("a statement of consent", |s| s.set("consent_statement=\"all agreed\"")),
    ("the limit of a gate", |s| s.edit(PIPELINE, "max_psi = 0.25", "max_psi = 0.26")),
    ("a gate that is not asked", |s| s.edit(PIPELINE, "propagation_converged = true\n", "")),
    ("the smallest count", |s| s.set("privacy.min_cell=11")),
    ("a mark of the page", |s| s.set("report.moved=0.2")),
    ("an input less", |s| s.set("inputs.disputes=\"\"")),
    ("a select", |s| s.set("inputs.disputes.select=\"SELECT * FROM export WHERE state <> 'x'\"")),
    ("the version of a model", |s| s.edit(MODEL, "version = \"1\"", "version = \"2\"")),
    ("a weight", |s| {
        s.edit(MODEL, "credit_history = 35, fulfilment_capacity = 25", "credit_history = 34, fulfilment_capacity = 26");
    }),
    ("a cap", |s| s.edit(MODEL, "cap = 449", "cap = 448")),
    ("the text of a reason", |s| s.edit(MODEL, "(how often counts)", "(how often matters)")),
    ("the evidence of a category", |s| s.edit(MODEL, "evidence_strength = 10", "evidence_strength = 11")),
    ("the window of a feature", |s| s.edit(FEATURES, "\"12 months\"", "\"11 months\"")),
    ("a feature's prior", |s| s.edit(FEATURES, "prior = 0.05", "prior = 0.06")),
    ("a feature less in a category that weighs nothing else", |s| {
        s.edit("pipelines/features/evidence.toml", "\"24 months\"", "\"23 months\"");
    }),
    ("a value", |s| {
        let batch = read(&s.data("repayments"));
        let column = batch.schema().index_of("amount_paid_minor").unwrap();
        let mut columns = batch.columns().to_vec();
        columns[column] = arrow::array::new_null_array(columns[column].data_type(), batch.num_rows());
        write(&s.data("repayments"), &arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap());
    }),
    ("a row less", |s| {
        let batch = read(&s.data("friend_links"));
        write(&s.data("friend_links"), &batch.slice(1, batch.num_rows() - 1));
    }),
    ("a file more", |s| {
        let folder = s.work.path("data/repayments");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(s.data("repayments"), folder.join("a.parquet")).unwrap();
        std::fs::rename(s.data("repayments"), folder.join("b.parquet")).unwrap();
        s.set("inputs.repayments=\"../data/repayments\"");
    }),
    ("what a path says", |s| {
        let folder = s.work.path("data/disputes/source_id=7");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::rename(s.data("disputes"), folder.join("a.parquet")).unwrap();
        s.set("inputs.disputes.path=\"../data/disputes\"");
        s.set("inputs.disputes.select=\"SELECT * FROM export\"");
    }),
    ("a currency's rate", |s| s.edit(MODEL, "TWD = 4.0", "TWD = 4.1")),
];

/// What makes none.
const MAKES_NONE: [(&str, Change); 18] = [
    ("a comment in the pipeline", |s| s.edit(PIPELINE, "currency", "# a comment\ncurrency")),
    ("a comment in the model", |s| s.edit(MODEL, "[scale]", "# a comment\n[scale]   # and another")),
    ("a comment in the catalogue", |s| s.edit(FEATURES, "[[feature]]", "# a comment\n\n[[feature]]")),
    ("the order of keys in a model", |s| s.edit(MODEL, "low = 350\nhigh = 950\n", "high = 950\nlow = 350\n")),
    ("the order of keys in a pipeline", |s| {
        s.edit(
            PIPELINE,
            "max_quarantined_share = 0.01\nmin_scored_share = 0.50\n",
            "min_scored_share = 0.5\nmax_quarantined_share = 1e-2\n",
        );
    }),
    ("threads and memory", |s| {
        s.set("engine.threads=2");
        s.args.extend(["--threads", "1", "--memory", "99MB"].map(Into::into));
    }),
    ("a place for what is spilled", |s| {
        std::fs::create_dir(s.work.path("scratch")).unwrap();
        s.args.extend(["--scratch", "scratch"].map(Into::into));
    }),
    ("the spelling of the output", |s| s.set("output=\"../pipelines/./../out/\"")),
    ("a setting said again", |s| s.set("currency=\"CNY\"")),
    ("the place of the data", |s| {
        std::fs::rename(s.work.path("data"), s.work.path("elsewhere")).unwrap();
        CORPUS.iter().for_each(|t| s.set(&format!("inputs.{t}=\"../elsewhere/{t}.parquet\"")));
    }),
    ("a file in a folder of its own", |s| {
        std::fs::create_dir(s.work.path("links")).unwrap();
        std::fs::copy(s.data("friend_links"), s.work.path("links/part-0.parquet")).unwrap();
        s.set("inputs.friend_links=\"../links\"");
    }),
    ("a file written again", |s| {
        let bytes = std::fs::read(s.data("consents")).unwrap();
        std::fs::remove_file(s.data("consents")).unwrap();
        std::fs::write(s.data("consents"), bytes).unwrap();
    }),
    ("the place of the model", |s| {
        s.work.copy(&s.work.path("pipelines"), "configuration");
        s.args.extend(["--model".to_owned(), "configuration/models/standard.toml".to_owned()]);
    }),
    ("the place of the pipeline", |s| {
        s.work.copy(&s.work.path("pipelines"), "configuration");
        s.pipeline = "configuration/nightly.toml";
    }),
    ("how much is said", |s| s.args.push("--quiet".into())),
    ("the form of the log", |s| s.args.extend(["--log-format", "json"].map(Into::into))),
    ("who may read what is written", |s| s.set("output_mode=\"group\"")),
    ("a select that is empty", |s| s.set("inputs.sources.select=\"\"")),
];

/// Whether a run is made; plan must have said the same.
fn makes(setting: &Setting) -> bool {
    let plan = setting
        .work
        .sesame(["plan", setting.pipeline].into_iter().map(ToOwned::to_owned).chain(plannable(&setting.args)));
    let planned = !plan.expect(0).out.contains("nothing it depends on has changed");
    let ran = setting.run("run");
    assert!([0, 1].contains(&ran.code), "{}", ran.err);
    let made = ended(&setting.work.path("out")) > 1;
    assert_eq!(planned, made, "{}", ran.err);
    made
}

/// The arguments that `plan` takes too.
fn plannable(args: &[String]) -> Vec<String> {
    let mut taken = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" | "--memory" | "--scratch" => drop(args.next()),
            "--quiet" => {}
            _ => taken.push(arg.clone()),
        }
    }
    taken
}

/// Runs that came to an end, as the ledger tells.
fn ended(output: &Path) -> usize {
    let text = std::fs::read_to_string(output.join("ledger.ndjson")).unwrap();
    text.lines().filter(|l| l.contains("\"event\":\"published\"") || l.contains("\"event\":\"refused\"")).count()
}

fn published() -> Setting {
    let setting = Setting::new();
    setting.run("run").expect(0);
    assert!(!makes(&setting));
    setting
}

#[test]
fn whatever_can_change_a_table_makes_a_run() {
    for (name, change) in MAKES {
        let mut setting = published();
        change(&mut setting);
        assert!(makes(&setting), "{name} makes no run");
    }
}

#[test]
fn what_cannot_change_a_table_makes_none() {
    for (name, change) in MAKES_NONE {
        let mut setting = published();
        change(&mut setting);
        assert!(!makes(&setting), "{name} makes a run");
    }
}

#[test]
fn any_of_it_together_makes_a_run_only_if_a_part_of_it_does() {
    for case in 0..30 {
        let rng = &mut Rng::with_seed(case);
        let mut setting = published();
        let mut names = Vec::new();
        let mut idle = MAKES_NONE.to_vec();
        rng.shuffle(&mut idle);
        // Some cannot be done at once: they move the same things.
        for (name, change) in idle.iter().filter(|(name, _)| !name.contains("place of")).take(4) {
            change(&mut setting);
            names.push(*name);
        }
        assert!(!makes(&setting), "{names:?}");
        let (name, change) = rng.choice(&MAKES).unwrap();
        if names.iter().any(|n| n.contains("the order of keys in a pipeline")) && name.contains("gate") {
            continue;
        }
        change(&mut setting);
        names.push(name);
        assert!(makes(&setting), "{names:?}");
    }
}
