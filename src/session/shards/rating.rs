//! Making one shard: a folder with its stages, complete or not there.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};

use super::done::Done;
use super::spec::Spec;
use crate::exit;
use crate::ingest::shuffled::{DISPUTED, Shuffled};
use crate::ingest::spine::shard::Shard;
use crate::job::Job;
use crate::job::dependencies::ERASED;
use crate::machine::resources::Resources;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::runs::output_folder::{keep_private, key_of, looked_at};
use crate::runs::remote::look::Need;
use crate::runs::remote::shown;
use crate::score::{kept, rated};
use crate::scorecard::policy::Caps;
use crate::session::guard::leave_out_erased;
use crate::session::identity::identify;
use crate::session::{MachineRequest, machine};
use crate::stages::make::Chosen;
use crate::stages::opened::StageData;
use crate::stages::shards::{Part, is_of_rows, keys_of_part};
use crate::storage::durable::{folder as folder_of, sync_folder};
use crate::storage::hashes::Hash;

/// What is asked for.
pub struct Request<'a> {
    /// The plan.
    pub spec: &'a Path,
    /// The shard, from 0.
    pub shard: u32,
    /// The folder that it is to be.
    pub out: &'a Path,
    /// The shard's rows, where another engine divided them.
    pub input: Option<&'a Path>,
    /// How much of the machine is used.
    pub machine: MachineRequest,
}

/// A shard that was made.
pub struct Made {
    /// Its folder.
    pub folder: PathBuf,
    /// Subjects that the date sees.
    pub subjects: usize,
}

impl Request<'_> {
    /// Makes the shard. It is made beside its folder, which is there when it is complete; a shard whose rows contradict each other is a
    /// folder as well, which tells so to who gathers.
    ///
    /// # Errors
    /// When the plan is another build's, the inputs changed, the folder is there already, rows contradict each other or are too many to
    /// add up, the disk is full, or the work is interrupted.
    pub fn run(&self, stop: &AtomicBool, log: &Output) -> Result<Made> {
        let (spec, hash) = Spec::read(self.spec)?;
        let shard = Shard::new(self.shard, spec.shards)?;
        ensure!(!self.out.exists(), "{} is there already; an attempt has a folder of its own", self.out.display());
        let pipeline = spec.pipeline()?;
        let (memory, scratch) = machine(&pipeline, &self.machine)?;
        let key = key_of(&pipeline)?;
        keep_private(pipeline.settings.output_mode);
        let (mut job, rows) = self.job(&spec, &pipeline)?;
        let output = looked_at(&pipeline, Need::Small)?;
        leave_out_erased(std::slice::from_mut(&mut job), &output, key.as_ref())?;
        ensure!(
            !job.erased.is_empty() || !spec.dependencies.names(ERASED),
            "somebody was erased when the shards were planned, and {} tells nobody here: `shard rate` has to see the output folder with its ledger and erasures, as `shard plan` did",
            shown(&output)
        );
        if rows.is_none() {
            spec.same_inputs(&job.exports)?;
        }
        let now = identify(&job, &spec.hashes()).dependencies;
        let differ = spec.dependencies.beside_inputs().differences(&now.beside_inputs());
        ensure!(differ.is_empty(), "{} changed since the shards were planned; plan them again", differ.join(", "));
        fs_err::create_dir_all(folder_of(self.out))?;
        let place = tempfile::Builder::new().prefix(".sesame-shard-").tempdir_in(folder_of(self.out))?;
        let scratch = scratch.unwrap_or_else(|| place.path().join("scratch"));
        fs_err::create_dir_all(&scratch)?;
        let folder = place.path().join("shard");
        fs_err::create_dir(&folder)?;
        let resources = Resources { memory, scratch, stop, log };
        let keys = keys_of_part(&spec.keys, &spec.keys);
        let of = Chosen { shard, rows: rows.as_ref(), divided: None };
        let made = Part::make(&job, &keys, of, (folder.as_path(), key.clone()), &resources);
        let done = Done::new(&hash, shard);
        let (done, subjects, failed) = match made {
            Ok(part) => {
                let subjects = rate(&job, &part, &folder, &resources)?;
                (done.with(&folder, subjects, &part.beside)?, subjects, None)
            }
            Err(error) if is_of_rows(&error) => {
                fs_err::remove_dir_all(&folder)?;
                fs_err::create_dir(&folder)?;
                (done.failing(exit::message(&error)), 0, Some(error))
            }
            Err(error) => return Err(error),
        };
        done.write(&folder, key.as_ref())?;
        self.put_in_place(&folder, &hash)?;
        failed.map_or(Ok(Made { folder: self.out.to_owned(), subjects }), Err)
    }

    /// The job, and the shard's rows where another engine divided them.
    fn job(&self, spec: &Spec, pipeline: &Pipeline) -> Result<(Job, Option<Shuffled>)> {
        let (job, rows) = match (self.input, spec.staged()?) {
            (None, None) => return Ok((spec.job(pipeline)?, None)),
            (Some(_), Some(_)) => bail!("the plan says where the rows are staged; leave --input out"),
            (Some(folder), None) => {
                spec.shuffled(pipeline, &|table| Ok(folder.join(table)), Some(&folder.join(DISPUTED)))?
            }
            (None, Some(staged)) => {
                spec.shuffled(pipeline, &|table| staged.rows(table, self.shard), staged.disputed().as_deref())?
            }
        };
        Ok((job, Some(rows)))
    }

    /// From here on the shard is there.
    fn put_in_place(&self, made: &Path, plan: &Hash) -> Result<()> {
        fs_err::rename(made, self.out)
            .with_context(|| format!("putting a shard of the plan {} in its place", &plan[..12]))?;
        sync_folder(folder_of(self.out))
    }
}

/// Rates the subjects of a shard; returns how many they are.
fn rate(job: &Job, part: &Part, folder: &Path, resources: &Resources) -> Result<usize> {
    let data = StageData::open(job, &part.stages)?;
    let rated = rated::rate(job, &data, &Caps::new(&job.policies)?, resources)?;
    kept::write(folder, &data.subjects.ids()?, &rated, job.card.features.len())?;
    Ok(data.subjects.len())
}
