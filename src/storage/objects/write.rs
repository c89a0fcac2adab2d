//! Writing objects: under a condition, in parts where they are large; and removing them.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion, WriteMultipart,
};

use super::found::Tag;
use super::place::Place;
use super::requests::Request;
use super::{runtime, stores};

/// A file up to this size is written by one request, a larger one in parts of it.
const PART: usize = 8 << 20;
/// The most that one put takes, with S3 and with Azure.
pub const LARGEST_PUT: u64 = 5_000 << 20;
/// Parts on their way at a time.
const PARTS_AT_ONCE: usize = 4;

/// Under which condition an object is put into its place.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// Whatever is there.
    Any,
    /// Nothing is there.
    Absent,
    /// What is there is this.
    Is(&'a Tag),
}

/// What became of an object that was to be put into its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Done(Tag),
    /// The condition did not hold.
    Lost,
}

impl Place {
    fn written(&self) -> Result<()> {
        if !stores::lists(&self.url) {
            bail!("{}: nothing is written to http:// and https:// addresses", self.url);
        }
        Ok(())
    }

    /// Puts an object into this place, if a condition holds. A put whose answer was lost, and that is therefore told to have lost against
    /// itself, is found by its content.
    ///
    /// # Errors
    /// When it cannot be written.
    #[allow(clippy::needless_pass_by_value, reason = "bytes are shared, not copied")]
    pub fn put(&self, bytes: Bytes, condition: Condition) -> Result<Put> {
        self.written()?;
        let mode = match condition {
            Condition::Any => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Is(tag) => {
                PutMode::Update(UpdateVersion { e_tag: tag.etag.clone(), version: tag.version.clone() })
            }
        };
        let conditional = mode != PutMode::Overwrite;
        // Where nothing is to be there, and that is not found, it is the bucket that is missing.
        let may_be_gone = matches!(condition, Condition::Is(_));
        let size = bytes.len() as u64;
        let large = bytes.len() > PART;
        let put = runtime::wait(async {
            let _under_way = if large { Request::bulky().await? } else { Request::brief().await? };
            let store = if large { &self.patient } else { &self.store };
            let payload = PutPayload::from(bytes.clone());
            match store.put_opts(&self.path, payload, PutOptions::from(mode)).await {
                Ok(put) => Ok(Put::Done(Tag { etag: put.e_tag, version: put.version, size })),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. })
                    if conditional =>
                {
                    Ok(Put::Lost)
                }
                Err(Error::NotFound { .. }) if may_be_gone => Ok(Put::Lost),
                Err(error) => Err(self.fault(&error)),
            }
        })?;
        if put == Put::Lost
            && let Some((there, tag)) = self.get()?
            && there == bytes
        {
            return Ok(Put::Done(tag));
        }
        Ok(put)
    }

    /// Writes a file into this place, whatever is there; a large one in parts.
    ///
    /// # Errors
    /// When the file cannot be read, or the object not written.
    pub fn upload(&self, file: &Path) -> Result<Tag> {
        self.written()?;
        let mut from = crate::storage::read::open(file)?;
        let size = from.metadata()?.len();
        if size <= PART as u64 {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes)?;
            return match self.put(Bytes::from(bytes), Condition::Any)? {
                Put::Done(tag) => Ok(tag),
                Put::Lost => bail!("defect: {} was put without a condition, and lost", self.url),
            };
        }
        let (etag, version) = runtime::wait(async {
            let _under_way = Request::bulky().await?;
            let upload = self.patient.put_multipart(&self.path).await.map_err(|e| self.fault(&e))?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
            let mut buffer = vec![0; PART];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => {
                        if let Err(error) = parts.wait_for_capacity(PARTS_AT_ONCE).await {
                            let _ = parts.abort().await;
                            return Err(self.fault(&error));
                        }
                        parts.write(&buffer[..read]);
                    }
                    Err(error) => {
                        // What was sent so far must not be kept and paid for.
                        let _ = parts.abort().await;
                        return Err(error).with_context(|| file.display().to_string());
                    }
                }
            }
            let put = parts.finish().await.map_err(|e| self.fault(&e))?;
            Ok((put.e_tag, put.version))
        })?;
        Ok(Tag { etag, version, size })
    }

    /// Removes the object; none there is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.written()?;
        runtime::wait(async {
            let _under_way = Request::brief().await?;
            match self.store.delete(&self.path).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.fault(&error)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    fn place(path: &str) -> Place {
        Place::of(Arc::new(InMemory::new()), path, &format!("s3://b/{path}"))
    }

    #[test]
    fn objects_are_put_under_conditions_listed_and_removed() {
        let root = place("out");
        let one = root.join("ledger/1.json");
        assert_eq!(one.url(), "s3://b/out/ledger/1.json");
        assert_eq!(one.tag().unwrap(), None);
        let Put::Done(first) = one.put(Bytes::from_static(b"a"), Condition::Absent).unwrap() else { panic!("lost") };
        assert_eq!(one.put(Bytes::from_static(b"b"), Condition::Absent).unwrap(), Put::Lost);
        // The same bytes are one's own put whose answer was lost.
        assert!(matches!(one.put(Bytes::from_static(b"a"), Condition::Absent).unwrap(), Put::Done(_)));
        assert!(matches!(one.put(Bytes::from_static(b"c"), Condition::Is(&first)).unwrap(), Put::Done(_)));
        assert_eq!(one.put(Bytes::from_static(b"d"), Condition::Is(&first)).unwrap(), Put::Lost);
        assert_eq!(one.get().unwrap().unwrap().0, "c");
        assert!(matches!(root.join("ledger/0.json").put(Bytes::new(), Condition::Any).unwrap(), Put::Done(_)));
        assert!(matches!(place("outer").put(Bytes::new(), Condition::Any).unwrap(), Put::Done(_)));
        let listed: Vec<String> = root.list().unwrap().into_iter().map(|l| l.below).collect();
        assert_eq!(listed, ["ledger/0.json", "ledger/1.json"]);
        one.remove().unwrap();
        one.remove().unwrap();
        assert!(one.get().unwrap().is_none());
    }

    #[test]
    fn a_large_file_is_written_in_parts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..PART + 5).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(file.path(), &content).unwrap();
        let place = place("large");
        assert_eq!(place.upload(file.path()).unwrap().size, content.len() as u64);
        assert_eq!(place.get().unwrap().unwrap().0, content);
    }

    #[test]
    fn the_web_is_only_read() {
        let place = Place::parse("http://127.0.0.1:1/x").unwrap();
        assert!(place.list().unwrap_err().to_string().contains("lists no objects"));
        assert!(place.put(Bytes::new(), Condition::Any).unwrap_err().to_string().contains("nothing is written"));
        assert!(place.remove().is_err() && place.upload(Path::new("/none")).is_err());
    }
}
