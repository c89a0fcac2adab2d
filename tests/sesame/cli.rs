//! The command line: help with examples, exit codes, where text goes, overrides.

use clap::CommandFactory;
use sesame::command::Cli;

use crate::workdir::{Workdir, inputs, repository};

fn nightly() -> String {
    repository("pipelines/nightly.toml").display().to_string()
}

#[test]
fn every_command_has_examples_and_exit_codes_in_its_help() {
    let work = Workdir::new();
    work.sesame(["--help"]).expect(0).says("Exit codes: 0 published").says("130");
    let commands: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        work.sesame([&command, "--help"]).expect(0).says("Example");
    }
    work.sesame(["run"]).expect(2);
    work.sesame(["nonsense"]).expect(2);
    work.sesame(Vec::<String>::new()).expect(2);
}

#[test]
fn text_for_people_goes_to_standard_error_and_data_to_standard_output() {
    let work = Workdir::new();
    let ended = work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    assert_eq!(ended.out, "");
    assert!(ended.err.contains("1,000 subjects"));
    assert!(!ended.err.contains('\u{1b}'), "no color off a terminal");
    let ended = work.run(&repository("data-samples/small"), "quiet", &["--quiet"]).expect(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", ""));
    let ended = work.sesame(["plan", &nightly(), "--sql"]).expect(0);
    assert!(ended.out.starts_with("WITH ") && ended.out.ends_with(";\n") && ended.err.is_empty());
}

#[test]
fn log_lines_can_be_json() {
    let work = Workdir::new();
    let ended = work.run(&repository("data-samples/small"), "out", &["--log-format", "json"]).expect(0);
    let lines: Vec<serde_json::Value> = ended.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.iter().any(|l| l["stage"] == "read purchases" && l["done"].as_u64() > Some(0)));
}

#[test]
fn check_and_plan_write_nothing() {
    let work = Workdir::new();
    let output = format!("output=\"{}\"", work.path("out").display());
    work.sesame(["check", &nightly(), "--set", &output]).expect(0).says("no findings");
    work.sesame(["plan", &nightly(), "--set", &output]).expect(0).says("input     purchases");
    work.sesame(["run", &nightly(), "--plan", "--set", &output]).expect(0).says("make      features-credit_history");
    assert!(!work.path("out").exists());
}

#[test]
fn check_names_features_that_no_one_uses_and_looks_for_the_key() {
    let work = Workdir::new();
    work.copy(&repository("pipelines"), "pipelines");
    let place = work.path("pipelines/features/evidence.toml");
    let more = "\n[[feature]]\nname = \"idle\"\nabout = \"A test.\"\nunit = \"count\"\ndirection = \"neither\"\naggregate = \"count\"\nsource = \"purchases\"\n";
    std::fs::write(&place, std::fs::read_to_string(&place).unwrap() + more).unwrap();
    let model = work.path("pipelines/models/standard.toml").display().to_string();
    let ended = work.sesame(["check", &nightly(), "--model", &model]).expect(0).says("in a rule: idle");
    assert!(!ended.err.contains("statement_evidence"), "{}", ended.err);
    let key = ["--set", "privacy.ledger_key=\"env:SESAME_NO_SUCH_KEY\""];
    work.sesame(["check", &nightly()].into_iter().chain(key)).expect(2).says("key");
}

#[test]
fn a_column_that_a_select_mistypes_is_named_with_those_there_are() {
    let work = Workdir::new();
    let select = "inputs.disputes.select=\"SELECT *, UPPER(tabel) AS more FROM export\"";
    let args = ["check", &nightly(), "--set", select];
    work.sesame(args).expect(2).says("no column `tabel`, did you mean `table`").says("dispute_id, table");
}

#[test]
fn check_and_plan_refuse_what_run_would() {
    let work = Workdir::new();
    for command in ["check", "plan"] {
        work.sesame([command, &nightly(), "--set", "inputs.subjects=\"\""])
            .expect(2)
            .says("`inputs.subjects` is missing");
        work.sesame([command, &nightly(), "--as-of", "2199-01-01"]).expect(2).says("--allow-future");
    }
}

#[test]
fn the_contract_can_be_printed() {
    let work = Workdir::new();
    work.sesame(["schema"]).expect(0).says("subjects").says("pii_suspect");
    let json = work.sesame(["schema", "--format", "json"]).expect(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["table"][0]["name"], "subjects");
    work.sesame(["schema", "--format", "toml"]).expect(0).says("[[table]]");
}

#[test]
fn a_pipeline_without_consents_must_say_why_everyone_may_be_scored() {
    let work = Workdir::new();
    let small = repository("data-samples/small");
    work.run(&small, "out", &["--set", "inputs.consents=\"\""]).expect(2).says("consent_statement");
    work.run(
        &small,
        "out",
        &["--set", "inputs.consents=\"\"", "--set", "consent_statement=\"all agreed in the contract\""],
    )
    .expect(0);
    assert_eq!(work.audit("out")["consents"]["statement"], "all agreed in the contract");
}

#[test]
fn a_rule_may_have_hundreds_of_alternatives() {
    let work = Workdir::new();
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let never: String = (0..240).map(|n| format!(" OR statements={}", 9_000_000 + n)).collect();
    let rule = "COALESCE(utility_bills, 0) >= 6";
    assert_eq!(standard.matches(rule).count(), 1);
    let folder = repository("pipelines/features").display().to_string();
    let text = standard.replace(rule, &format!("{rule}{never}")).replace("../features", &folder);
    std::fs::write(work.path("long.toml"), text).unwrap();
    let sample = repository("data-samples/small");
    work.run(&sample, "short", &[]).expect(0);
    work.run(&sample, "long", &["--model", work.path("long.toml").to_str().unwrap()]).expect(0);
    let bands = |output: &str| work.audit(output)["scores"]["bands"].clone();
    assert_eq!(bands("long"), bands("short"));
}

#[test]
fn mistakes_in_a_model_are_all_named_with_their_lines() {
    let work = Workdir::new();
    let standard = std::fs::read_to_string(repository("pipelines/models/standard.toml")).unwrap();
    let features = repository("pipelines/features");
    let broken = standard
        .replace("\"../features/", &format!("\"{}/", features.display()))
        .replacen("credit_history = 35, fulfilment_capacity = 25", "credit_history = 36, fulfilment_capacity = 25", 1)
        .replacen("name = \"days_past_due_now\"", "name = \"days_past_due_nov\"", 1)
        .replacen("{ from = 0.2, below = 0.35, share = 150 }", "{ from = 0.25, below = 0.35, share = 150 }", 1)
        .replacen("{ from = 0.5, below = 0.75, share = 450 }", "{ from = 0.5, below = 0.75, share = 700 }", 1)
        .replacen("code = \"C06\"", "code = \"C99\"", 1)
        .replacen("when = \"kind = 'small_business'\"", "when = \"kind = 'small_busines'\"", 1);
    let model = work.path("broken.toml");
    std::fs::write(&model, &broken).unwrap();
    let line = |text: &str| format!("broken.toml:{}:", broken.lines().position(|l| l.contains(text)).unwrap() + 1);
    let ended = work.sesame(["check", &nightly(), "--model", model.to_str().unwrap()]).expect(2);
    let ended = ended
        .says("sum to 101 %")
        .says("did you mean `days_past_due_now`")
        .says("a gap between 0.2 and 0.25")
        .says("run against `lower_is_better`")
        .says("the reason code `C06` has no text")
        .says("did you mean `small_business`");
    assert!(ended.err.contains(&line("{ from = 0.25, below = 0.35")), "{}", ended.err);
    assert!(ended.err.contains(&line("'small_busines'")), "{}", ended.err);
}

#[test]
fn overrides_reach_every_key() {
    let work = Workdir::new();
    let mut args = vec!["check".to_owned(), nightly()];
    args.extend(inputs(&repository("data-samples/small")));
    args.extend([
        "--set".to_owned(),
        "inputs.repayments={ path = \"/nowhere/*.parquet\", select = \"SELECT * FROM export\" }".to_owned(),
    ]);
    args.extend(["--set".to_owned(), "inputs.purchases=\"/nowhere/purchases\"".to_owned()]);
    work.sesame(args).expect(2).says("/nowhere/*.parquet matches nothing").says("/nowhere/purchases does not exist");
}
