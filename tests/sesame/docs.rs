//! The documents: every command in them is one that the program knows, and those of the worked example do what they say.

use std::path::PathBuf;

use clap::Parser;
use sesame::command::Cli;

use crate::workdir::{Workdir, repository};

/// The pages for people who use the program.
fn pages() -> Vec<PathBuf> {
    let docs = glob::glob(repository("docs/*.md").to_str().unwrap()).unwrap().map(Result::unwrap);
    let pages: Vec<PathBuf> = docs.chain([repository("README.md"), repository("data-samples/README.md")]).collect();
    assert!(pages.len() > 12);
    pages
}

/// The commands of a page's shell blocks, lines that end with a backslash joined.
fn commands(page: &str) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), false);
    let mut line = String::new();
    for text in page.lines() {
        if text.starts_with("```") {
            inside = text.starts_with("```sh");
        } else if inside {
            line += text.trim().trim_end_matches('\\');
            if !text.ends_with('\\') {
                found.push(std::mem::take(&mut line));
            }
        }
    }
    found
}

/// The words of a command as a shell reads them, without what follows a remark sign.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, c @ ('\'' | '"')) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The arguments of a command if it is one of the program's, however it is called.
fn of_sesame(command: &str) -> Option<Vec<String>> {
    let words = words(command);
    let cut = words.iter().position(|w| matches!(w.as_str(), "|" | ">" | "&&" | "||" | "2>")).unwrap_or(words.len());
    let words = &words[..cut];
    let first = words.first()?;
    if first == "sesame" || first.ends_with("/sesame") {
        return Some(words.to_vec());
    }
    let after = words.iter().position(|w| w == "--")?;
    (first == "cargo" && words.get(1).is_some_and(|w| w == "run"))
        .then(|| std::iter::once("sesame".to_owned()).chain(words[after + 1..].iter().cloned()).collect())
}

#[test]
fn every_command_in_the_documents_is_one_of_the_program() {
    let mut count = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in commands(&text) {
            let Some(words) = of_sesame(&command) else { continue };
            count += 1;
            match Cli::try_parse_from(&words) {
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                    ) => {}
                Err(e) => panic!("{}: {command}\n{e}", page.display()),
            }
        }
    }
    assert!(count > 35, "{count} commands");
}

#[test]
fn the_readme_is_read_in_one_sitting() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    assert!(readme.lines().count() <= 200);
    let summary = std::fs::read_to_string(repository("docs/SUMMARY.md")).unwrap();
    for page in pages().iter().filter(|p| p.parent().is_some_and(|f| f.ends_with("docs"))) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the book");
    }
}

#[test]
fn the_worked_example_works() {
    let work = Workdir::new();
    std::fs::create_dir_all(work.path("data-samples")).unwrap();
    work.copy(&repository("data-samples/bank"), "data-samples/bank");
    let page = std::fs::read_to_string(repository("docs/worked-example.md")).unwrap();
    let mut codes = Vec::new();
    for command in commands(&page) {
        let Some(words) = of_sesame(&command) else {
            assert!(command.starts_with("duckdb "), "{command}");
            continue;
        };
        let ended = work.sesame(&words[1..]);
        // What the page shows of it is said: every line of the text block that follows, but for what is left out.
        let after = page.split_once(&command).unwrap().1;
        let shown = after.split("```").nth(2).filter(|block| block.starts_with("text\n")).unwrap_or_default();
        // Lines are broken where the terminal ends.
        let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (out, err) = (joined(&ended.out), joined(&ended.err));
        let written = joined(&std::fs::read_to_string(work.path("bank/pipeline.toml")).unwrap());
        for line in shown.lines().skip(1).flat_map(|l| l.split('…')).map(|part| part.trim_matches([' ', ';', ','])) {
            let line = &joined(line);
            assert!(
                [&out, &err, &written].iter().any(|text| text.contains(line)),
                "{command} does not say {line:?}\n{}\n{}",
                ended.out,
                ended.err
            );
        }
        codes.push(ended.code);
    }
    assert_eq!(codes, [0, 2, 0, 0, 0]);
    let audit = work.audit("bank/out");
    assert_eq!(audit["coverage"]["subjects"], 300);
    assert!(audit["coverage"]["scored"].as_u64().unwrap() > 200);
    assert!(audit["quarantine"].as_object().unwrap().is_empty(), "{}", audit["quarantine"]);
}
