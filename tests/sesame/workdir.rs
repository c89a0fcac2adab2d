//! A folder to run the program in; a failure prints what was run and what it said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub struct Workdir {
    folder: TempDir,
}

/// How a run of the program ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
    what: String,
}

impl Workdir {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program with arguments.
    pub fn sesame<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        self.ended(&mut self.command(args))
    }

    /// The program with arguments, not started yet.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sesame"));
        command.current_dir(self.folder.path()).args(args).env("NO_COLOR", "1");
        command
    }

    /// Runs a command to its end; a signal is the code -1.
    pub fn ended(&self, command: &mut Command) -> Ended {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Ended {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
            what: format!("{command:?}"),
        }
    }

    /// Copies a file or folder into this one, times and all.
    pub fn copy(&self, from: &Path, to: &str) {
        let status = Command::new("cp").arg("-a").arg(from).arg(self.path(to)).status().unwrap();
        assert!(status.success(), "copying {}", from.display());
    }

    /// Runs a pipeline of the repository over an export, with further arguments.
    pub fn run(&self, export: &Path, output: &str, more: &[&str]) -> Ended {
        self.sesame(self.arguments("run", export, output, more))
    }

    /// The arguments of a command on the nightly pipeline over an export.
    pub fn arguments(&self, command: &str, export: &Path, output: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec![command.to_owned(), repository("pipelines/nightly.toml").display().to_string()];
        args.extend(inputs(export));
        args.extend(["--set".to_owned(), format!("output=\"{}\"", self.path(output).display())]);
        args.extend(more.iter().map(ToString::to_string));
        args
    }

    /// Runs the nightly pipeline over a small export as of 2025-01-31, with everyone's consent and gates that let all pass.
    pub fn run_small(&self, export: &Path, output: &str, more: &[&str]) -> Ended {
        let mut args = vec!["--as-of", "2025-01-31"];
        for set in [
            "consent_statement=\"test\"",
            "gates.max_quarantined_share=1.0",
            "gates.min_scored_share=0.0",
            "gates.max_age_days=100000",
        ] {
            args.extend(["--set", set]);
        }
        args.extend(more);
        self.run(export, output, &args)
    }

    /// The bytes of the one published table.
    pub fn scores(&self, output: &str) -> Vec<u8> {
        std::fs::read(self.scores_path(output)).unwrap()
    }

    /// Where the one published table is.
    pub fn scores_path(&self, output: &str) -> PathBuf {
        let pattern = self.path(output).join("scores/as_of=*/model=*/scores.parquet");
        let found: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(found.len(), 1, "published tables: {found:?}");
        found.into_iter().next().unwrap()
    }

    /// Every published table below an output folder, by its path there.
    pub fn published(&self, output: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = self.path(output);
        let pattern = folder.join("scores/as_of=*/model=*/*");
        let found = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap);
        found
            .map(|path| {
                let name = path.strip_prefix(&folder).unwrap().display().to_string();
                (name, std::fs::read(&path).unwrap())
            })
            .collect()
    }

    /// What the audit of the only run tells of a feature.
    pub fn feature(&self, output: &str, name: &str) -> serde_json::Value {
        let audit = self.audit(output);
        audit["features"].as_array().unwrap().iter().find(|f| f["feature"] == name).unwrap().clone()
    }

    /// The audit of the one run.
    pub fn audit(&self, output: &str) -> serde_json::Value {
        let pattern = self.path(output).join("runs/*/audit.json");
        let found: Vec<_> = glob::glob(pattern.to_str().unwrap()).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(found.len(), 1, "audits: {found:?}");
        serde_json::from_str(&std::fs::read_to_string(&found[0]).unwrap()).unwrap()
    }
}

impl Ended {
    /// The end of a command whose output went elsewhere.
    pub fn of(code: i32) -> Self {
        Self { code, out: String::new(), err: String::new(), what: "a command".to_owned() }
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n--- stdout\n{}\n--- stderr\n{}", self.what, self.out, self.err);
        self
    }

    pub fn says(self, text: &str) -> Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "nothing says {text:?}\n{}\n--- stdout\n{}\n--- stderr\n{}", self.what, self.out, self.err);
        self
    }
}

/// A path of the repository.
pub fn repository(path: &str) -> PathBuf {
    // At run time: clones may share one target folder, and a test compiled in another must not read that one's files.
    let root =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    root.join(path)
}

/// The tables of tests/files/fuzz: all that a score is made of.
pub const CORPUS: [&str; 9] = [
    "subjects",
    "repayments",
    "utility_payments",
    "purchases",
    "friend_links",
    "consents",
    "public_records",
    "disputes",
    "sources",
];

/// The overrides that point every input of the nightly pipeline to an export; what the export lacks is dropped.
pub fn inputs(export: &Path) -> Vec<String> {
    CORPUS
        .iter()
        .chain(&["outcomes", "groups", "sales"])
        .flat_map(|table| {
            let (folder, file) = (export.join(table), export.join(format!("{table}.parquet")));
            let path = if folder.is_dir() { folder } else { file };
            let path = if path.exists() { path.display().to_string() } else { String::new() };
            ["--set".to_owned(), format!("inputs.{table}=\"{path}\"")]
        })
        .collect()
}
