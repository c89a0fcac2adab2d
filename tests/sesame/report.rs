//! The page: complete, self-contained, the same when built again, and readable in a browser.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

/// A page that loads another one in a frame of some width and writes down what it finds.
fn probe(page: &Path, width: u32) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><body style='margin:0'><iframe id=f style='border:0;width:{width}px;height:900px' \
         src='file://{}'></iframe><script>document.getElementById('f').onload = () => {{\
         const d = document.getElementById('f').contentDocument, w = document.getElementById('f').contentWindow;\
         const small = [...d.querySelectorAll('main *')].filter(e => e.childNodes.length && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) && !e.closest('svg') && parseFloat(w.getComputedStyle(e).fontSize) < 11);\
         const charts = [...d.querySelectorAll('figure svg')];\
         const text = c => {{ const t = c.querySelector('text'); return t ? t.getBoundingClientRect().height : 0; }};\
         const found = {{ sections: d.querySelectorAll('section[id]').length, overflow: d.documentElement.scrollWidth - w.innerWidth,\
         small: small.length, charts: charts.length, unlabelled: charts.filter(c => !c.getAttribute('aria-label')).length,\
         chart_text: Math.min(...charts.map(text)), resources: w.performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length,\
         dark: w.matchMedia('(prefers-color-scheme: dark)').matches, background: w.getComputedStyle(d.body).backgroundColor,\
         color: w.getComputedStyle(d.body).color }};\
         document.title = 'done'; document.body.innerHTML = '<pre id=found>' + JSON.stringify(found) + '</pre>'; }};</script>",
        page.display()
    )
}

/// Opens the page in Chromium at desktop and phone width, in light and dark. `.ci/run` installs the browser; without one the
/// test says so, unless SESAME_REQUIRE_CHROMIUM is set.
#[test]
fn the_page_is_readable_in_a_browser_at_any_width_in_light_and_dark() {
    let Some(chromium) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
    else {
        assert!(std::env::var_os("SESAME_REQUIRE_CHROMIUM").is_none(), "Chromium is not installed");
        eprintln!("skipped: Chromium is not installed");
        return;
    };
    let work = Workdir::new();
    two_months(&work);
    let page = run_folder(&work).join("audit.html");
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
        let frame = work.path("frame.html");
        std::fs::write(&frame, probe(&page, width)).unwrap();
        let profile = work.path("profile");
        let mut browser = Command::new(chromium);
        browser
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--allow-file-access-from-files",
                "--enable-logging=stderr",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"]);
        if dark {
            browser.arg("--blink-settings=preferredColorScheme=0");
        }
        let output = browser.arg(format!("file://{}", frame.display())).output().unwrap();
        let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let found = dom.split("<pre id=\"found\">").nth(1).and_then(|d| d.split("</pre>").next());
        let found: Value = serde_json::from_str(found.unwrap_or_else(|| panic!("{dom}\n{log}"))).unwrap();
        let about = format!("{width} px, dark {dark}: {found}");
        assert_eq!(found["sections"], SECTIONS.len(), "{about}");
        assert!(found["overflow"].as_f64().unwrap() <= 0.0, "wider than the window at {about}");
        assert_eq!(
            (&found["small"], &found["unlabelled"], &found["resources"]),
            (&0.into(), &0.into(), &0.into()),
            "{about}"
        );
        assert!(found["charts"].as_u64().unwrap() >= 10 && found["chart_text"].as_f64().unwrap() >= 9.0, "{about}");
        assert_eq!(found["dark"], dark, "{about}");
        assert_eq!(found["background"] == "rgb(246, 247, 249)", !dark, "{about}");
        let console = log.lines().filter(|l| l.contains("CONSOLE")).collect::<Vec<_>>();
        assert!(console.is_empty(), "{about}: {console:?}");
    }
}
