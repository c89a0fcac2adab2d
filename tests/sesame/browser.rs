//! A page in Chromium. `.ci/run` installs the browser; without one this says so, unless SESAME_REQUIRE_CHROMIUM is set.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::workdir::Workdir;

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

/// Opens a page at desktop and phone width, in light and dark: nothing is wider than the window, small or without a label, and
/// nothing is loaded.
pub fn readable(work: &Workdir, page: &Path, sections: usize) {
    let Some(chromium) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
    else {
        assert!(std::env::var_os("SESAME_REQUIRE_CHROMIUM").is_none(), "Chromium is not installed");
        eprintln!("skipped: Chromium is not installed");
        return;
    };
    for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
        let frame = work.path("frame.html");
        std::fs::write(&frame, probe(page, width)).unwrap();
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
        assert_eq!(found["sections"], sections, "{about}");
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
