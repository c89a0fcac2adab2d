//! Hashes the sources, so that what one build kept is not taken up by another that computes differently.

use std::hash::{DefaultHasher, Hasher};
use std::io::Result;
use std::path::{Path, PathBuf};

/// The rooms in which a stage is made, from the contract to the stages: a change of anything else remakes none.
const OF_STAGES: [&str; 14] = [
    "contract",
    "engine",
    "expression",
    "features",
    "ingest",
    "job",
    "machine",
    "measure",
    "pipeline",
    "scorecard",
    "stages",
    "storage",
    "tables",
    "lib.rs",
];

fn main() -> Result<()> {
    let mut files = vec![PathBuf::from("Cargo.lock")];
    sources(Path::new("src"), &mut files)?;
    files.sort();
    let of_stages = |file: &&PathBuf| {
        let room = file.strip_prefix("src").ok().and_then(|below| below.components().next());
        room.is_none_or(|room| OF_STAGES.iter().any(|name| room.as_os_str() == *name))
    };
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=SESAME_BUILD={}", hash(files.iter())?);
    println!("cargo::rustc-env=SESAME_STAGES_BUILD={}", hash(files.iter().filter(of_stages))?);
    Ok(())
}

/// A hash of some files' names and content.
fn hash<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        let content = std::fs::read(file)?;
        hasher.write_usize(content.len());
        hasher.write(&content);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sources(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
