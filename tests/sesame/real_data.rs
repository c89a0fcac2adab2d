//! Real repayments (UCI data set 350), where they are at hand: the model ranks defaults without having been fitted.

use std::path::PathBuf;

use crate::workdir::{Workdir, repository};

/// A pipeline over the data set.
fn pipeline(work: &Workdir) -> PathBuf {
    let data: PathBuf = std::env::var_os("SESAME_UCI").expect("the folder of the data set").into();
    let pipeline = work.path("uci.toml");
    let text = format!(
        "name = \"uci\"\nmodel = \"{}\"\nas_of = \"2005-09-30\"\ncurrency = \"TWD\"\noutput = \"out\"\nconsent_statement = \"public research data\"\n[inputs]\n{}",
        repository("pipelines/models/standard.toml").display(),
        ["subjects", "repayments", "outcomes", "groups"]
            .map(|t| format!("{t} = \"{}/{t}.parquet\"\n", data.display()))
            .concat()
    );
    std::fs::write(&pipeline, text).unwrap();
    pipeline
}

/// What the second implementation of the fit, in Python with Clarabel, came to on the same half of the data set.
#[test]
#[ignore = "SESAME_UCI names a folder with the data set in the contract's tables"]
fn a_fit_to_real_defaults_is_that_of_the_second_implementation() {
    let work = Workdir::new();
    let pipeline = pipeline(&work);
    let fit = |name: &str, more: &[&str]| -> serde_json::Value {
        let fixed = ["fit", pipeline.to_str().unwrap(), "--from", "2005-09-30", "--format", "json", "--out", name];
        serde_json::from_str(&work.sesame([&fixed, more].concat()).expect(0).out).unwrap()
    };
    let figure = |of: &serde_json::Value| of.as_f64().unwrap();
    let free = fit("free.toml", &["--weights", "free"]);
    assert!((figure(&free["freed"]) - 6500.2278).abs() < 1e-4, "{}", free["freed"]);
    for (name, bins, least) in [("given.toml", "given", 0.766), ("new.toml", "new", 0.767)] {
        let report = fit(name, &["--bins", bins]);
        assert!(figure(&report["after"]["auc"]) >= least, "{bins}: {}", report["after"]["auc"]);
        assert!(figure(&report["after"]["log_loss"]) <= 0.4350, "{bins}: {}", report["after"]["log_loss"]);
        assert!(figure(&report["difference"]["difference"]) >= 0.0115, "{bins}: {}", report["difference"]);
    }
    let bytes = |threads: &str| {
        fit(&format!("{threads}.toml"), &["--bins", "new", "--name", "new", "--threads", threads]);
        std::fs::read(work.path(&format!("{threads}.toml"))).unwrap()
    };
    let one = bytes("1");
    assert!(["2", "8"].iter().all(|threads| bytes(threads) == one), "the same bytes on 1, 2 and 8 threads");
}

#[test]
#[ignore = "SESAME_UCI names a folder with the data set in the contract's tables"]
fn the_standard_model_ranks_real_defaults() {
    let work = Workdir::new();
    let pipeline = pipeline(&work);
    work.sesame(["run", pipeline.to_str().unwrap()]).expect(0);
    let audit = work.audit("out");
    assert_eq!(audit["coverage"]["subjects"], audit["coverage"]["scored"]);
    let auc = audit["quality"]["auc"].as_f64().unwrap();
    assert!(auc >= 0.748, "AUC {auc}");
    let (low, high) = (audit["quality"]["auc_low"].as_f64().unwrap(), audit["quality"]["auc_high"].as_f64().unwrap());
    assert!(low < auc && auc < high && high - low < 0.03, "{low} to {high}");
    let fairness = audit["fairness"]["columns"].as_array().unwrap();
    let shares =
        fairness.iter().flat_map(|c| c["groups"].as_array().unwrap()).filter(|g| g["approvals"][0]["share"].is_f64());
    assert!(fairness.len() == 2 && shares.count() >= 5, "{fairness:?}");
    let page = std::fs::read_to_string(
        glob::glob(work.path("out/runs/*/audit.html").to_str().unwrap()).unwrap().next().unwrap().unwrap(),
    );
    assert!(page.unwrap().contains("0.7444 to 0.7645"), "the page shows the interval");
    let rates: Vec<f64> =
        audit["quality"]["bands"].as_array().unwrap().iter().filter_map(|b| b["bad_rate"].as_f64()).collect();
    assert!(rates.len() >= 4 && rates.windows(2).all(|w| w[0] > w[1]), "bad rates by band {rates:?}");
}
