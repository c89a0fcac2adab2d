//! Real repayments (UCI data set 350), where they are at hand: the model ranks defaults without having been fitted.

use std::path::PathBuf;

use crate::workdir::{Workdir, repository};

#[test]
#[ignore = "SESAME_UCI names a folder with the data set in the contract's tables"]
fn the_standard_model_ranks_real_defaults() {
    let data: PathBuf = std::env::var_os("SESAME_UCI").expect("the folder of the data set").into();
    let work = Workdir::new();
    let pipeline = work.path("uci.toml");
    let text = format!(
        "name = \"uci\"\nmodel = \"{}\"\nas_of = \"2005-09-30\"\ncurrency = \"TWD\"\noutput = \"out\"\nconsent_statement = \"public research data\"\n[inputs]\n{}",
        repository("pipelines/models/standard.toml").display(),
        ["subjects", "repayments", "outcomes", "groups"]
            .map(|t| format!("{t} = \"{}/{t}.parquet\"\n", data.display()))
            .concat()
    );
    std::fs::write(&pipeline, text).unwrap();
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
