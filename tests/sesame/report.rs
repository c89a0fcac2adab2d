//! The page: complete, self-contained, the same when built again, and readable in a browser.

use serde_json::Value;

use crate::browser::readable;
use crate::workdir::{Workdir, repository};

const SECTIONS: [&str; 14] = [
    "conservation",
    "quarantine",
    "coverage",
    "scores",
    "categories",
    "drift",
    "features",
    "reasons",
    "propagation",
    "disputes",
    "gates",
    "quality",
    "fairness",
    "provenance",
];

/// Two months of the sample; the later one's page.
fn two_months(work: &Workdir) -> String {
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--as-of", "2025-09-30"]).expect(0);
    work.run(&small, "out", &[]).expect(0);
    std::fs::read_to_string(run_folder(work).join("audit.html")).unwrap()
}

fn run_folder(work: &Workdir) -> std::path::PathBuf {
    let runs = work.path("out/runs").read_dir().unwrap().map(|e| e.unwrap().path());
    runs.max().unwrap()
}

#[test]
fn the_page_holds_every_section_and_needs_nothing_else() {
    let work = Workdir::new();
    let page = two_months(&work);
    for section in SECTIONS {
        assert!(page.contains(&format!("<section id=\"{section}\">")), "no section {section}");
        assert!(page.contains(&format!("href=\"#{section}\"")), "nothing leads to {section}");
    }
    for outside in ["http://", "https://", "<script", "<link rel=\"stylesheet", "@import", "url("] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("Every gate passed") && page.contains("What changed") && page.contains("as of 2025-09-30"));
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let charts: Vec<&str> = page.split("<svg").skip(1).collect();
    assert!(charts.len() > 50 && charts.iter().all(|c| c.contains("aria-label=\"")), "{} charts", charts.len());
    assert!(page.contains("score, in points") && page.contains("AUC") && page.contains("prefers-color-scheme: dark"));
    // What the audit hides, the page does not show.
    assert!(page.contains(">hidden</span>"));
}

#[test]
fn the_page_is_built_again_from_the_audit_alone() {
    let work = Workdir::new();
    let page = two_months(&work);
    let folder = run_folder(&work);
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_file(folder.join("audit.html")).unwrap();
    work.sesame(["verify", &name, "--output", "out", "--outputs-only"]).expect(1).says("audit.html");
    work.sesame(["report", "latest", "--output", "out"]).expect(0);
    assert_eq!(std::fs::read_to_string(folder.join("audit.html")).unwrap(), page);
    work.sesame(["verify", &name, "--output", "out", "--outputs-only"]).expect(0);
    work.sesame(["report", "latest", "--output", "out", "--out", "other.html"]).expect(0);
    assert_eq!(std::fs::read_to_string(work.path("other.html")).unwrap(), page);
    // A recorded page is not replaced by one that differs.
    std::fs::write(folder.join("audit.html"), page.replace("Every gate", "Each gate")).unwrap();
    work.sesame(["report", "latest", "--output", "out"]).expect(2).says("--out FILE");
    let audit = std::fs::read_to_string(folder.join("audit.json")).unwrap();
    std::fs::write(folder.join("audit.json"), audit.replace("\"schema\": 2", "\"schema\": 1")).unwrap();
    work.sesame(["report", "latest", "--output", "out"]).expect(2).says("use the version that made it");
}

#[test]
fn a_refused_run_says_so_at_the_top() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--set", "gates.min_scored_share=0.99"]).expect(1);
    let page = std::fs::read_to_string(run_folder(&work).join("audit.html")).unwrap();
    assert!(page.contains("Not published: 1 gate failed. What was published before stays."));
    let audit: Value =
        serde_json::from_str(&std::fs::read_to_string(run_folder(&work).join("audit.json")).unwrap()).unwrap();
    assert_eq!(audit["gates"][1]["passed"], false);
    work.run(
        &small,
        "other",
        &["--set", "gates.min_scored_share=0.99", "--accept", "min_scored_share", "--because", "a <b>test</b>"],
    )
    .expect(0);
    let folder = work.path("other/runs").read_dir().unwrap().next().unwrap().unwrap().path();
    let page = std::fs::read_to_string(folder.join("audit.html")).unwrap();
    assert!(
        page.contains("Published although 1 gate failed") && page.contains("a &lt;b&gt;test&lt;&#x2f;b&gt;"),
        "escaped"
    );
}

#[test]
fn the_page_is_readable_in_a_browser_at_any_width_in_light_and_dark() {
    let work = Workdir::new();
    two_months(&work);
    readable(&work, &run_folder(&work).join("audit.html"), SECTIONS.len());
}
