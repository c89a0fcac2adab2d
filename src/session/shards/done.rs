//! `shard.json`: what a shard's folder holds, and of which plan it is a part.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ingest::spine::shard::Shard;
use crate::job::dependencies::BUILD;
use crate::stages::beside::{Beside, Counted};
use crate::stages::shards::{Part, RatedIn, keys_of_part};
use crate::stages::store::StageStore;
use crate::storage::hashes::{self, Hash};
use crate::storage::key::Key;
use crate::storage::{durable, read};

use super::spec::Spec;

/// Its name in a shard's folder.
pub const DONE: &str = "shard.json";

/// Version of the shape.
const SCHEMA: u32 = 1;

/// What a shard says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Version of this shape.
    schema: u32,
    /// The hash of the plan.
    spec: Hash,
    /// The content of the program's sources.
    build: String,
    /// Its number, from 0.
    pub shard: u32,
    /// Number of shards.
    of: u32,
    /// Subjects that the date sees.
    pub subjects: u64,
    /// Its files with their hashes.
    files: BTreeMap<String, Hash>,
    /// What it counted, by table.
    counted: Counted,
    /// What is wrong with its rows; then there are no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// The keyed hash of all this, when the pipeline names a key for its ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Hash>,
}

impl Done {
    /// What a shard is of a plan, with nothing in it yet.
    #[must_use]
    pub fn new(spec: &Hash, shard: Shard) -> Self {
        Self {
            schema: SCHEMA,
            spec: spec.clone(),
            build: BUILD.to_owned(),
            shard: shard.number(),
            of: shard.of(),
            subjects: 0,
            files: BTreeMap::new(),
            counted: Counted::default(),
            failed: None,
            mac: None,
        }
    }

    /// The same, of a shard whose rows cannot be made anything of.
    #[must_use]
    pub fn failing(self, why: String) -> Self {
        Self { failed: Some(why), ..self }
    }

    /// The same, with all that lies in a folder.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn with(mut self, folder: &Path, subjects: usize, beside: &Beside) -> Result<Self> {
        beside.write(folder)?;
        self.subjects = subjects as u64;
        self.counted = beside.counted.clone();
        list(folder, folder, &mut self.files)?;
        Ok(self)
    }

    /// Writes it into the folder.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(mut self, folder: &Path, key: Option<&Key>) -> Result<()> {
        self.mac = key.map(|key| self.mac(key)).transpose()?;
        durable::replace(&folder.join(DONE), (serde_json::to_string_pretty(&self)? + "\n").as_bytes())
    }

    fn mac(&self, key: &Key) -> Result<Hash> {
        let said = Self { mac: None, ..self.clone() };
        Ok(key.mac(&format!("shard {}", serde_json::to_string(&said)?)))
    }

    /// Reads what a shard says of itself, and checks that it is of a plan and that its files are what they were. A shard that failed is
    /// none, and tells why.
    ///
    /// # Errors
    /// When it is of another plan or build, was changed, or is damaged.
    pub fn read(folder: &Path, spec: &Hash, key: Option<&Key>) -> Result<std::result::Result<Self, String>> {
        let done: Self = serde_json::from_str(&read::text(&folder.join(DONE))?)?;
        ensure!(done.schema == SCHEMA, "it has schema {}, and this program reads {SCHEMA}", done.schema);
        ensure!(done.build == BUILD, "another build of the program made it");
        ensure!(done.spec == *spec, "it was made for another plan");
        if let Some(key) = key {
            ensure!(done.mac == Some(done.mac(key)?), "{DONE} was not written with the pipeline's key, or was changed");
        }
        if let Some(why) = &done.failed {
            return Ok(Err(format!("shard {} of {}: {why}", done.shard, done.of)));
        }
        for (name, hash) in &done.files {
            let own = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            ensure!(own, "{name} is no file of the shard");
            let path = folder.join(name);
            ensure!(path.is_file(), "{name} is missing");
            ensure!(hashes::file(&path)? == *hash, "{name} was changed since it was made");
        }
        Ok(Ok(done))
    }

    /// The part that it is, of a folder that was checked.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn part(self, folder: &Path, spec: &Spec, key: Option<Key>) -> Result<Part> {
        let shard = Shard::new(self.shard, self.of)?;
        ensure!(self.of == spec.shards, "it is one of {} shards, and {} were planned", self.of, spec.shards);
        let store = StageStore::of(folder, key);
        let mut stages = Vec::new();
        for key in keys_of_part(&spec.keys, &spec.keys) {
            let name = key.kind.name();
            let stage = store.verified(&key)?.map_err(|why| anyhow::anyhow!("the stage {name}: {why}"))?;
            stages.push(stage);
        }
        let beside = Beside::read(folder, self.counted)?;
        // Those of stages are looked at again with them.
        let files = self.files.into_iter().filter(|(name, _)| !name.contains('/')).collect();
        let rated = RatedIn { folder: folder.to_owned(), files };
        Ok(Part { shard, stages, beside, rated: Some(rated) })
    }
}

/// The files below a folder, with their hashes, made durable.
fn list(folder: &Path, root: &Path, files: &mut BTreeMap<String, Hash>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            list(&path, root, files)?;
            continue;
        }
        let below = path.strip_prefix(root).context("a file below the folder")?;
        read::open(&path)?.sync_all()?;
        files.insert(below.to_string_lossy().into_owned(), hashes::file(&path)?);
    }
    durable::sync_folder(folder)
}
