//! Schemas: those that ship are those the program prints, what the repository holds fits them, and events are well formed.

use serde_json::Value;

use crate::workdir::{Workdir, repository};

/// Everything about a value that a schema does not allow. Knows the keywords our schemas use and refuses any other, so that
/// nothing is left unchecked without notice.
fn violations(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(schema) = schema.as_object() else {
        return if *schema == Value::Bool(true) { vec![] } else { vec![format!("{at}: nothing is allowed here")] };
    };
    let mut found = Vec::new();
    let below = |schema: &Value, value: &Value, at: &str| violations(root, schema, value, at);
    for (keyword, rule) in schema {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" | "$comment" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                found.extend(below(root.pointer(pointer).unwrap(), value, at));
            }
            "type" => {
                let names: Vec<&str> = match rule {
                    Value::Array(names) => names.iter().map(|n| n.as_str().unwrap()).collect(),
                    name => vec![name.as_str().unwrap()],
                };
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("an unknown type {other}"),
                };
                if !names.iter().any(|n| is(n)) {
                    found.push(format!("{at}: {value} is not {names:?}"));
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        found.extend(below(schema, value, &format!("{at}/{name}")));
                    }
                }
            }
            "required" => {
                let missing = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|n| value.is_object() && value.get(n.as_str().unwrap()).is_none());
                found.extend(missing.map(|n| format!("{at}: {n} is missing")));
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others =
                    value.as_object().into_iter().flatten().filter(|(n, _)| known.is_none_or(|k| !k.contains_key(*n)));
                for (name, value) in others {
                    found.extend(below(rule, value, &format!("{at}/{name}")));
                }
            }
            "items" => {
                for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(below(rule, value, &format!("{at}/{n}")));
                }
            }
            "prefixItems" => {
                for (n, (rule, value)) in
                    rule.as_array().unwrap().iter().zip(value.as_array().into_iter().flatten()).enumerate()
                {
                    found.extend(below(rule, value, &format!("{at}/{n}")));
                }
            }
            "minItems" | "maxItems" => {
                let (limit, length) = (rule.as_u64().unwrap(), value.as_array().map(|a| a.len() as u64));
                if length.is_some_and(|n| if keyword == "minItems" { n < limit } else { n > limit }) {
                    found.push(format!("{at}: {length:?} items, and {keyword} is {limit}"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    found.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "const" => {
                if rule != value {
                    found.push(format!("{at}: {value} is not {rule}"));
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|v| v < rule.as_f64().unwrap()) {
                    found.push(format!("{at}: {value} is below {rule}"));
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|v| v > rule.as_f64().unwrap()) {
                    found.push(format!("{at}: {value} is above {rule}"));
                }
            }
            "anyOf" | "oneOf" => {
                let all: Vec<Vec<String>> = rule.as_array().unwrap().iter().map(|s| below(s, value, at)).collect();
                let fit = all.iter().filter(|f| f.is_empty()).count();
                if fit == 0 || (keyword == "oneOf" && fit > 1) {
                    found.push(format!("{at}: {value} fits {fit} of {keyword}: {all:?}"));
                }
            }
            other => panic!("{at}: the keyword {other} is not checked here"),
        }
    }
    found
}

fn printed(of: &str) -> Value {
    let out = Workdir::new().sesame(["schema", of]).expect(0).out;
    serde_json::from_str(&out).unwrap()
}

fn toml(path: &std::path::Path) -> Value {
    serde_json::to_value(toml::from_str::<toml::Value>(&std::fs::read_to_string(path).unwrap()).unwrap()).unwrap()
}

#[test]
fn the_schemas_that_ship_are_those_the_program_prints() {
    for of in ["pipeline", "model", "features", "partners", "audit"] {
        let path = repository(&format!("pipelines/schema/{of}.json"));
        let out = Workdir::new().sesame(["schema", of]).expect(0).out;
        assert!(std::fs::read_to_string(&path).unwrap() == out, "run `sesame schema {of} > {}`", path.display());
    }
}

#[test]
fn every_file_of_the_repository_fits_its_schema_and_mistakes_do_not() {
    let kinds = [
        ("pipeline", "pipelines/*.toml"),
        ("model", "pipelines/models/*.toml"),
        ("features", "pipelines/features/*.toml"),
        ("partners", "pipelines/partners.toml"),
    ];
    for (of, pattern) in kinds {
        let schema = printed(of);
        let mut files = 0;
        for path in glob::glob(repository(pattern).to_str().unwrap()).unwrap().map(Result::unwrap) {
            if of == "pipeline" && path.ends_with("partners.toml") {
                continue;
            }
            assert_eq!(violations(&schema, &schema, &toml(&path), ""), Vec::<String>::new(), "{}", path.display());
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("#:schema "), "{} names its schema", path.display());
            files += 1;
        }
        assert!(files >= if ["model", "partners"].contains(&of) { 1 } else { 3 }, "{files} files of {of}");
    }
    let schema = printed("pipeline");
    let mut wrong = toml(&repository("pipelines/nightly.toml"));
    wrong["gates"]["max_psy"] = 0.1.into();
    wrong["inputs"]["repayments"] = serde_json::json!({ "path": 1 });
    wrong.as_object_mut().unwrap().remove("currency");
    let found = violations(&schema, &schema, &wrong, "").join("\n");
    for part in ["max_psy", "repayments", "currency"] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
}

#[test]
fn an_audit_fits_its_schema_and_one_of_another_version_is_told() {
    let work = Workdir::new();
    work.run(&repository("data-samples/small"), "out", &[]).expect(0);
    work.run(&repository("data-samples/small"), "out", &["--as-of", "2025-09-30", "--set", "gates.max_age_days=9999"])
        .expect(0);
    let schema = printed("audit");
    for path in glob::glob(work.path("out/runs/*/audit.json").to_str().unwrap()).unwrap().map(Result::unwrap) {
        let mut audit: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(violations(&schema, &schema, &audit, ""), Vec::<String>::new(), "{}", path.display());
        audit["schema"] = 1.into();
        std::fs::write(&path, audit.to_string()).unwrap();
    }
    work.sesame(["report", "latest", "--output", "out", "--out", "page.html"])
        .expect(2)
        .says("this audit has schema 1");
}

/// The requirements that the OpenLineage specification (2-0-2) states for a run event: its required members, the words of
/// `eventType`, and that times, identifiers and addresses are such. The official schema itself is checked by
/// `tests/lineage_events.py`.
pub fn is_open_lineage(event: &Value) {
    let text = |v: &Value| v.as_str().map(ToOwned::to_owned).unwrap_or_else(|| panic!("{v} is no text in {event}"));
    assert!(["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"].contains(&text(&event["eventType"]).as_str()));
    assert!(text(&event["eventTime"]).parse::<jiff::Timestamp>().is_ok());
    assert!(text(&event["schemaURL"]).starts_with("https://openlineage.io/spec/"));
    let uuid = text(&event["run"]["runId"]);
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert!(parts == [8, 4, 4, 4, 12] && uuid.as_bytes()[14] == b'8', "{uuid}");
    let mut facets = vec![&event["run"]["facets"], &event["job"]["facets"]];
    assert!(!text(&event["job"]["namespace"]).is_empty() && !text(&event["job"]["name"]).is_empty());
    for (datasets, own) in [("inputs", "inputFacets"), ("outputs", "outputFacets")] {
        for dataset in event[datasets].as_array().unwrap() {
            assert!(!text(&dataset["namespace"]).is_empty() && text(&dataset["name"]).starts_with('/'));
            facets.extend(dataset.get(own));
        }
    }
    for (name, facet) in facets.into_iter().filter_map(Value::as_object).flatten() {
        for member in ["_producer", "_schemaURL"] {
            assert!(text(&facet[member]).contains(':'), "{name} lacks {member}");
        }
    }
}

#[test]
fn completions_and_the_man_page_name_every_command() {
    let work = Workdir::new();
    for shell in ["bash", "zsh", "fish"] {
        let out = work.sesame(["completions", shell]).expect(0).out;
        assert!(out.contains("backfill") && out.contains("known-by"), "{shell}");
    }
    let man = work.sesame(["man"]).expect(0).out;
    for command in ["run", "plan", "backfill", "check", "diff", "verify", "clean", "generate", "schema"] {
        assert!(man.contains(&format!("COMMAND sesame {command}")), "{command}");
    }
}
