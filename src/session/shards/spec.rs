//! `spec.json`: a run divided into shards, for whoever makes them. It says which tables are divided by what and which go whole to every
//! shard, and all that the result depends on, so that shards of another run, build or state of the inputs are never put together.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::contract::Contract;
use crate::ingest::numbers::Sums;
use crate::ingest::read::export::{Export, OpenFile};
use crate::ingest::shuffled::{Original, OriginalFile, Shuffled};
use crate::ingest::spine::shard::Shard;
use crate::ingest::staged::Staged;
use crate::job::Job;
use crate::job::dependencies::{BUILD, Dependencies};
use crate::job::load::{JobRequest, load_dates, load_opened};
use crate::pipeline::{Finding, Pipeline};
use crate::runs::folder::configuration::plain;
use crate::session::identity::{Identity, PROGRAM};
use crate::stages::key::{Key, keys};
use crate::storage::content::State;
use crate::storage::hashes::{self, Hash};
use crate::storage::read;

use super::friends_spec::FriendsSpec;

/// Version of the shape.
const SCHEMA: u32 = 1;

/// How the shard of an id follows from it; see [`Shard`].
const DIVISION: &str =
    "the first 8 bytes of BLAKE3 of the id as text, little-endian, modulo the number of shards; no id is shard 0";

/// A run divided into shards.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of this shape.
    schema: u32,
    /// Version of the program.
    program: String,
    /// The content of its sources: another build must not make a part of the run.
    build: String,
    /// What the run is called.
    pub run: String,
    /// Whether it was published already when it was planned, so that there is nothing to do.
    pub published: bool,
    /// Number of shards; they are numbered from 0.
    pub shards: u32,
    /// How subjects are divided where the program does it.
    division: String,
    /// The pipeline file, and its text with what was set on the command line.
    pipeline: PipelineText,
    /// The model file.
    model: PathBuf,
    /// The as-of date.
    pub as_of: Date,
    /// The knowledge cut-off.
    known_by: String,
    /// The time zone in which days begin and end.
    time_zone: String,
    /// The tables, in order of the contract.
    pub tables: Vec<TableSpec>,
    /// Where another engine staged them; nothing when the program reads them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staged: Option<StagedIn>,
    /// How friends' scores are propagated, in the units of the graph; nothing when they are not.
    friends: Option<FriendsSpec>,
    /// All that the result depends on.
    pub dependencies: Dependencies,
    /// The stages that the run is scored from.
    pub keys: Vec<Key>,
}

/// A pipeline as it was planned with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PipelineText {
    file: PathBuf,
    text: String,
}

/// Where another engine staged the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StagedIn {
    folder: PathBuf,
    /// The hash of what it says of them.
    tables: Hash,
}

/// Where the rows of a table go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goes {
    /// To the shard of the subject.
    BySubject,
    /// All of them to every shard.
    ToEveryShard,
    /// To who gathers: they join subjects of two shards.
    ToGather,
}

/// A table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// Its name.
    pub table: String,
    /// Where its rows go.
    pub goes: Goes,
    /// The columns that say whose a row is.
    pub key: Vec<String>,
    /// The columns that are read.
    pub columns: Vec<String>,
    /// For `groups`: the columns that hold groups.
    extra: Vec<String>,
    /// Whether the input has a `select`, so that these are not the contract's columns.
    pub select: bool,
    /// Its files, in order.
    pub files: Vec<FileSpec>,
}

/// A file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// What it is called in reports.
    pub label: String,
    /// Where it was.
    pub path: PathBuf,
    /// Rows.
    pub rows: u64,
    /// Size.
    bytes: u64,
    /// When its content was changed last, nanoseconds since 1970.
    modified_ns: Option<i64>,
    /// The hash of its content, or what stands for it.
    blake3: Hash,
}

impl TableSpec {
    fn of(export: &Export, hashes: &[Hash]) -> Self {
        let key = ["subject_id", "subject_a", "subject_b"].into_iter().filter(|c| export.table.position(c).is_some());
        let key: Vec<String> = key.map(ToOwned::to_owned).collect();
        let goes = match (export.table.name.as_str(), key.len()) {
            ("disputes", _) | (_, 0) => Goes::ToEveryShard,
            (_, 1) => Goes::BySubject,
            _ => Goes::ToGather,
        };
        let mut columns: Vec<String> = export.files.iter().flat_map(|file| read_of(export, file)).collect();
        columns.sort();
        columns.dedup();
        let file = |(file, hash): (&OpenFile, &Hash)| FileSpec {
            label: file.file.label.clone(),
            path: match &file.state {
                State::File(_) => plain(&file.file.path),
                State::Object(_) | State::Version(_) => file.file.path.clone(),
            },
            rows: file.rows,
            bytes: file.bytes(),
            modified_ns: file.state.modified_ns(),
            blake3: hash.clone(),
        };
        let files = export.files.iter().zip(hashes).map(file).collect();
        let (table, extra) = (export.table.name.clone(), export.extra.clone());
        Self { table, goes, key, columns, extra, select: export.select.is_some(), files }
    }
}

/// The columns of a file that are read.
fn read_of(export: &Export, file: &OpenFile) -> Vec<String> {
    let fields = file.footer.schema().fields();
    match &file.select {
        Some(select) => select.reads().iter().filter_map(|at| Some(fields.get(*at)?.name().clone())).collect(),
        None => {
            let wanted = |name: &&String| export.table.position(name).is_some() || export.extra.contains(name);
            fields.iter().map(|field| field.name()).filter(wanted).cloned().collect()
        }
    }
}

impl Spec {
    /// Divides a job.
    ///
    /// # Errors
    /// When there are too many shards, a table is staged in another way than it goes, or the catalogue does not compile.
    pub fn of(
        job: &Job,
        hashes: &[Vec<Hash>],
        identity: &Identity,
        (shards, published): (u32, bool),
        staged: Option<&Staged>,
    ) -> Result<Self> {
        Shard::new(0, shards)?;
        let tables: Vec<TableSpec> =
            job.exports.iter().zip(hashes).map(|(export, of)| TableSpec::of(export, of)).collect();
        for (staged, table) in staged.iter().flat_map(|staged| tables.iter().map(move |table| (staged, table))) {
            let divided = table.goes == Goes::BySubject;
            ensure!(
                staged.is_divided(&table.table)? == divided,
                "{} has to be staged {}",
                table.table,
                if divided { "divided by subject" } else { "as a whole" }
            );
        }
        Ok(Self {
            schema: SCHEMA,
            program: PROGRAM.to_owned(),
            build: BUILD.to_owned(),
            run: identity.id.clone(),
            published,
            shards,
            division: DIVISION.to_owned(),
            pipeline: PipelineText { file: plain(&job.pipeline.path), text: job.pipeline.text.clone() },
            model: plain(&job.model.source.path),
            as_of: identity.label.as_of,
            known_by: identity.label.known_by.clone(),
            time_zone: job.pipeline.settings.time_zone.to_string(),
            tables,
            staged: staged.map(|of| StagedIn { folder: of.folder.clone(), tables: of.hash.clone() }),
            friends: FriendsSpec::of(job)?,
            dependencies: identity.dependencies.clone(),
            keys: keys(job, hashes)?,
        })
    }

    /// Reads a file; with the hash that shards name it by.
    ///
    /// # Errors
    /// When it is none, or another build of the program wrote it.
    pub fn read(path: &Path) -> Result<(Self, Hash)> {
        let read = || -> Result<(Self, Hash)> {
            let text = read::text(path)?;
            let spec: Self = serde_json::from_str(&text)?;
            ensure!(spec.schema == SCHEMA, "it has schema {}, and this program reads {SCHEMA}", spec.schema);
            ensure!(
                spec.build == BUILD,
                "it was written by another build of the program ({}); plan with the build that makes the shards",
                spec.program
            );
            Ok((spec, hashes::text(&text)))
        };
        read().with_context(|| format!("the plan of shards {}", path.display()))
    }

    /// The file as it is written.
    ///
    /// # Errors
    /// None that a spec could cause.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The pipeline.
    ///
    /// # Errors
    /// When its text is none.
    pub fn pipeline(&self) -> Result<Pipeline> {
        Pipeline::parse(&self.pipeline.file, self.pipeline.text.clone())
    }

    /// What another engine staged, if it did.
    ///
    /// # Errors
    /// When it is not what was planned with.
    pub fn staged(&self) -> Result<Option<Staged>> {
        let Some(planned) = &self.staged else { return Ok(None) };
        let staged = Staged::read(&planned.folder).context("the tables that were planned with")?;
        let folder = planned.folder.display();
        ensure!(
            staged.hash == planned.tables,
            "what is staged in {folder} changed since the shards were planned; plan them again"
        );
        Ok(Some(staged))
    }

    /// What is asked for beside the pipeline.
    ///
    /// # Errors
    /// When what another engine staged is not what was planned with.
    pub fn request(&self) -> Result<JobRequest> {
        Ok(JobRequest {
            as_of: Some(self.as_of.to_string()),
            known_by: Some(self.known_by.clone()),
            allow_future: true,
            model: Some(self.model.clone()),
            staged: self.staged()?,
        })
    }

    /// The job, found to fit; its inputs are those of the pipeline that is given, which may read from elsewhere.
    ///
    /// # Errors
    /// All findings about configuration, model and inputs at once.
    pub fn job(&self, pipeline: &Pipeline) -> Result<Job> {
        load_dates(pipeline, &self.request()?, &[self.as_of])?.pop().context("no as-of date")
    }

    /// The job, and one shard's rows as another engine divided them: the folder of each table, and that of the subjects whom disputes name.
    ///
    /// # Errors
    /// All findings about configuration, model and rows at once.
    pub fn shuffled(
        &self,
        pipeline: &Pipeline,
        rows_of: &dyn Fn(&str) -> Result<PathBuf>,
        disputed: Option<&Path>,
    ) -> Result<(Job, Shuffled)> {
        let selects = self.tables.iter().find(|table| table.select && table.goes != Goes::ToGather);
        if let Some(table) = selects {
            bail!(
                "inputs.{} has a `select`, which another engine cannot run; have it give the contract's columns, and plan without",
                table.table
            );
        }
        let file = |file: &FileSpec| OriginalFile {
            label: file.label.clone(),
            path: file.path.clone(),
            rows: file.rows,
            sums: Some(Sums::of_file(file.rows)),
            version: None,
        };
        let mut originals = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            originals.push(Original {
                table: table.table.clone(),
                rows: (table.goes != Goes::ToGather).then(|| rows_of(&table.table)).transpose()?,
                extra: Some(table.extra.clone()),
                files: table.files.iter().map(file).collect(),
            });
        }
        let rows = RefCell::new(None);
        let open = |pipeline: &Pipeline, contract: &Contract| -> Result<(Vec<Export>, Vec<Finding>)> {
            let (shuffled, exports, findings) = Shuffled::open(&originals, disputed, pipeline, contract)?;
            *rows.borrow_mut() = Some(shuffled);
            Ok((exports, findings))
        };
        let job = load_opened(pipeline, &self.request()?, &[self.as_of], &open)?.pop().context("no as-of date")?;
        Ok((job, rows.take().context("the rows were not opened")?))
    }

    /// The hashes of the input files, table by table.
    #[must_use]
    pub fn hashes(&self) -> Vec<Vec<Hash>> {
        self.tables.iter().map(|table| table.files.iter().map(|file| file.blake3.clone()).collect()).collect()
    }

    /// Checks that the exports are the files that were planned with. One whose size and time are the same is taken to be the same; gathering
    /// asks for the content of all of them once more.
    ///
    /// # Errors
    /// When one is another, or has another content.
    pub fn same_inputs(&self, exports: &[Export]) -> Result<()> {
        let tables = |what: Vec<&String>| what.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let (planned, given) = (self.tables.iter().map(|t| &t.table), exports.iter().map(|e| &e.table.name));
        ensure!(
            planned.clone().eq(given.clone()),
            "inputs: {} were planned with, and {} are there",
            tables(planned.collect()),
            tables(given.collect())
        );
        let never = AtomicBool::new(false);
        for (table, export) in self.tables.iter().zip(exports) {
            let same = table.files.iter().map(|f| &f.label).eq(export.files.iter().map(|f| &f.file.label));
            ensure!(same, "inputs.{}: other files than were planned with", table.table);
            for (planned, file) in table.files.iter().zip(&export.files) {
                let modified = file.state.modified_ns();
                let known = planned.bytes == file.bytes() && modified.is_some() && planned.modified_ns == modified;
                ensure!(
                    known || file.state.identity(&file.file.path, &never)? == planned.blake3,
                    "{} changed since the shards were planned; plan them again",
                    file.file.path.display()
                );
            }
        }
        Ok(())
    }
}
