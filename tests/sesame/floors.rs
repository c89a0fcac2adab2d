//! The house: a room uses rooms below it, and no file is in a circle of imports. The order of the rooms is that of `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::workdir::repository;

/// The files of the sources, by the path of their module.
fn modules(folder: &Path, path: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let below = || path.iter().cloned().chain([stem.clone()]).collect::<Vec<_>>();
        if file.is_dir() {
            modules(&file, &below(), found);
        } else if file.extension().is_some_and(|e| e == "rs") {
            let is_root = path.is_empty() && ["lib", "main"].contains(&stem.as_str());
            let module = if stem == "mod" || is_root { path.to_vec() } else { below() };
            if stem != "main" {
                found.insert(module, file);
            }
        }
    }
}

/// The paths that a text names after `crate::` or `super::`, from the root of the crate.
fn imports(text: &str, module: &[String], is_folder: bool) -> Vec<Vec<String>> {
    let parent = if is_folder { module } else { &module[..module.len() - 1] };
    let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = code.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    for (at, _) in code.char_indices() {
        let rest = &code[at..];
        let fresh = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let start = match () {
            () if !fresh => continue,
            () if rest.starts_with("crate::") => Vec::new(),
            // In a folder's own file `super` is the folder above.
            () if rest.starts_with("super::") && is_folder => parent[..parent.len() - 1].to_vec(),
            () if rest.starts_with("super::") => parent.to_vec(),
            () => continue,
        };
        tree(rest.split_once("::").unwrap().1, start, &mut found);
    }
    found
}

/// Reads `a::b` or `a::{b, c::d}`; returns what follows.
fn tree<'a>(mut text: &'a str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = tree(rest, path.clone(), found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
                if let Some(rest) = rest.strip_prefix('}') {
                    return rest;
                }
            }
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name == "super" {
            path.pop();
        } else if !name.is_empty() && name != "self" {
            path.push(name.to_owned());
        }
        match rest.strip_prefix("::") {
            Some(more) => text = more,
            None => {
                found.push(path);
                return rest.strip_prefix('*').unwrap_or(rest);
            }
        }
    }
}

/// What each file imports.
fn arrows() -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let mut files = BTreeMap::new();
    modules(&repository("src"), &[], &mut files);
    let arrows = files.iter().filter(|(module, _)| !module.is_empty()).map(|(module, file)| {
        let is_folder = file.file_stem().unwrap() == "mod";
        let of_path = |path: Vec<String>| {
            // The module that the path leads into; what follows is an item of it.
            (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|p| files.contains_key(p))
        };
        let to = imports(&fs::read_to_string(file).unwrap(), module, is_folder).into_iter().filter_map(of_path);
        (module.clone(), to.filter(|to| to != module).collect())
    });
    arrows.collect()
}

fn rooms() -> Vec<String> {
    let lib = fs::read_to_string(repository("src/lib.rs")).unwrap();
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    lib.lines().filter_map(name).collect()
}

#[test]
fn imports_are_read() {
    let module = ["a", "b"].map(str::to_owned);
    let text = "use crate::x::{self, y::{Z, z}, W};\nuse super::c::d;\n// crate::no::one\nlet a = crate::v::f(super::e);\n#[cfg(test)]\nmod tests { use crate::t; }";
    let found: Vec<String> = imports(text, &module, false).iter().map(|p| p.join("::")).collect();
    assert_eq!(found, ["x", "x::y::Z", "x::y::z", "x::W", "a::c::d", "v::f", "a::e"]);
}

#[test]
fn every_arrow_leads_down() {
    let rooms = rooms();
    let floor = |room: &String| rooms.iter().position(|r| r == room).unwrap_or_else(|| panic!("{room} is on no floor"));
    let arrows = arrows();
    assert!(arrows.len() > 150 && rooms.len() > 20, "{} files in {} rooms", arrows.len(), rooms.len());
    let mut up = Vec::new();
    for (from, all) in &arrows {
        up.extend(all.iter().filter(|to| to[0] != from[0] && floor(&from[0]) > floor(&to[0])).map(|to| (from, to)));
    }
    assert!(up.is_empty(), "arrows up: {up:?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let arrows = arrows();
    // A file whose imports are all settled is settled; what never is, is in a circle or above one.
    let mut left: BTreeMap<&Vec<String>, &BTreeSet<Vec<String>>> = arrows.iter().collect();
    loop {
        let settled: Vec<_> =
            left.iter().filter(|(_, to)| to.iter().all(|t| !left.contains_key(t))).map(|(m, _)| *m).collect();
        if settled.is_empty() {
            break;
        }
        left.retain(|m, _| !settled.contains(m));
    }
    // Those that nobody of the rest imports are only above it.
    loop {
        let above: Vec<_> = left.keys().filter(|m| !left.values().any(|to| to.contains(**m))).copied().collect();
        if above.is_empty() {
            break;
        }
        left.retain(|m, _| !above.contains(m));
    }
    let circle: Vec<String> = left.keys().map(|m| m.join("::")).collect();
    assert!(circle.is_empty(), "in circles: {circle:?}");
}

#[test]
fn no_file_is_longer_than_is_read_in_one_sitting() {
    let mut files = BTreeMap::new();
    modules(&repository("src"), &[], &mut files);
    let long: Vec<_> = files
        .values()
        .map(|file| (file, fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines >= 400)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}
