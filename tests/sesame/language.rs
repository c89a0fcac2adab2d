//! The SQL that users write: every example of the reference gives what the reference says, and times become instants.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sesame::engine::{Frame, Program};
use sesame::expression::reference::{Entry, Place, Reference};
use sesame::expression::{Expression, Numbers, Scope, Type};
use sesame::ingest::read::select::Select;

use crate::exports::{Export, subjects};
use crate::workdir::Workdir;

/// What an expression over one batch yields, as a column `x`.
fn select(expression: &str, batch: &RecordBatch) -> Result<ArrayRef, String> {
    let run = || {
        let bound = Select::parse(&format!("SELECT {expression} AS x FROM export"))?.over(&batch.schema())?;
        anyhow::Ok(bound.run(&batch.project(bound.reads())?, 0)?.0.column(0).clone())
    };
    run().map_err(|e| format!("{e:#}"))
}

fn text(array: &ArrayRef) -> Vec<String> {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).unwrap();
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn one_row() -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap()
}

#[test]
fn every_example_of_the_reference_gives_what_it_says() {
    let reference = Reference::get().unwrap();
    let examples: Vec<&Entry> =
        reference.words.iter().chain(&reference.functions).filter(|e| !e.example.is_empty()).collect();
    assert!(examples.len() > 55);
    for entry in examples {
        assert!(entry.places.contains(&Place::Select), "{}", entry.form);
        let given = select(&entry.example, &one_row()).unwrap_or_else(|e| panic!("{}: {e}", entry.example));
        assert_eq!(text(&given), [entry.gives.as_str()], "{}", entry.example);
        for (expression, gives) in &entry.also {
            let given = select(expression, &one_row()).unwrap_or_else(|e| panic!("{expression}: {e}"));
            assert_eq!(text(&given), [gives.as_str()], "{expression}");
        }
        if entry.places.contains(&Place::Feature) {
            let example = entry.in_feature.as_ref().unwrap_or(&entry.example);
            let gives = entry.gives_in_feature.as_ref().unwrap_or(&entry.gives);
            assert_eq!(feature(example), *gives, "{example} in a feature");
        }
    }
}

/// What an expression gives in a feature.
fn feature(example: &str) -> String {
    let checked = Expression::parse(example, &Scope::new("nothing"), Numbers::Integer).unwrap();
    let sql = match checked.kind {
        Type::Boolean => format!("CASE WHEN {} THEN 1 ELSE 0 END", checked.local),
        _ => checked.local.clone(),
    };
    let frame = Frame::new(1, [("n", vec![1])]).unwrap();
    let value = Program::integers([sql.as_str()]).unwrap().run(&frame).unwrap()[0].integers().unwrap()[0];
    if checked.kind == Type::Boolean { (value == 1).to_string() } else { value.to_string() }
}

#[test]
fn the_rest_of_a_division_has_the_sign_of_what_is_divided() {
    let mut scope = Scope::new("rows");
    scope.declare("a", sesame::expression::ColumnKind::Number, true, 1_000);
    let checked = Expression::number("a % 7", &scope, Numbers::Integer).unwrap();
    let values = vec![-15, -7, -1, 0, 1, 6, 7, 20, sesame::NULL];
    let frame = Frame::new(values.len(), [("a", values.clone())]).unwrap();
    let found = Program::integers([checked.local.as_str()]).unwrap().run(&frame).unwrap()[0].integers().unwrap();
    let expected: Vec<i64> = values.iter().map(|v| if *v == sesame::NULL { sesame::NULL } else { v % 7 }).collect();
    assert_eq!((found, checked.portable.as_str(), checked.bound), (expected, "(a % 7)", 6));
    for (wrong, why) in
        [("a % 0", "positive whole number"), ("a % a", "positive whole number"), ("1 % (-2)", "positive")]
    {
        assert!(Expression::number(wrong, &scope, Numbers::Integer).unwrap_err().contains(why), "{wrong}");
    }
}

#[test]
fn local_times_become_instants_and_back() {
    let times: Vec<i64> = ["2025-03-30T02:30:00", "2025-10-26T02:30:00", "2025-10-31T23:30:00"]
        .map(|t| format!("{t}Z").parse::<jiff::Timestamp>().unwrap().as_microsecond())
        .to_vec();
    let texts = StringViewArray::from(vec!["30.03.2025 02:30", "26.10.2025 02:30", "31.10.2025 23:30"]);
    let nanos: Vec<i64> = times.iter().map(|t| t * 1_000 + 7).collect();
    let batch = RecordBatch::try_from_iter([
        ("naive", Arc::new(TimestampMicrosecondArray::from(times.clone())) as ArrayRef),
        ("instant", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(nanos))),
        ("words", Arc::new(texts)),
        ("day", Arc::new(Date32Array::from(vec![20_000; 3]))),
    ])
    .unwrap();
    let utc = |expression: &str| {
        let array = select(&format!("{expression} AT TIME ZONE 'Europe/Berlin'"), &batch).unwrap();
        let kind = array.data_type().clone();
        let numbers = arrow::compute::cast(&array, &DataType::Int64).unwrap();
        let unit = if expression == "nanos" { 1_000_000_000 } else { 1_000_000 };
        let times = numbers
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .map(|v| jiff::Timestamp::from_second(v.div_euclid(unit)).unwrap().strftime("%m-%d %H:%M").to_string());
        (times.collect::<Vec<_>>(), matches!(kind, DataType::Timestamp(_, Some(_))))
    };
    // The skipped hour is put forward, the repeated one is the later.
    let instants = ["03-30 01:30", "10-26 01:30", "10-31 22:30"].map(str::to_owned).to_vec();
    assert_eq!(utc("naive"), (instants.clone(), true));
    assert_eq!(utc("nanos"), (instants.clone(), true));
    assert_eq!(utc("STRPTIME(words, '%d.%m.%Y %H:%M')"), (instants, true));
    let clocks = ["03-30 04:30", "10-26 03:30", "11-01 00:30"].map(str::to_owned).to_vec();
    assert_eq!(utc("instant"), (clocks, false));
    for (wrong, why) in [
        ("words AT TIME ZONE 'UTC'", "read the text by STRPTIME"),
        ("day AT TIME ZONE 'UTC'", "CAST(date AS TIMESTAMP)"),
        ("naive AT TIME ZONE 'Europe/Berlim'", "did you mean `Europe/Berlin`"),
        ("naive AT TIME ZONE words", "write a name such as"),
        ("DATE_TRUNC('month', instant)", "whose days are meant"),
        ("DATE_TRUNC('mont', day)", "did you mean `month`"),
        ("DATE_DIFF('day', day)", "write DATE_DIFF('unit', from, to)"),
        ("MAKE_DATE(1, 2)", "write MAKE_DATE(year, month, day)"),
        ("MAKE_DATE(words, 1, 1)", "MAKE_DATE takes whole numbers"),
    ] {
        let error = select(wrong, &batch).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn a_date_that_does_not_exist_stops_the_run_where_a_row_takes_it() {
    let days = Int64Array::from(vec![Some(930_131), Some(0), None, Some(930_230)]);
    let batch = RecordBatch::try_from_iter([("d", Arc::new(days) as ArrayRef)]).unwrap();
    let made = "MAKE_DATE(1900 + d // 10000, d // 100 % 100, d % 100)";
    let error = select(made, &batch).unwrap_err();
    assert!(error.contains("row 1") && error.contains("no day or instant of the calendar"), "{error}");
    let found = select(&format!("CASE WHEN d > 0 AND d <> 930230 THEN {made} END"), &batch).unwrap();
    assert_eq!(text(&found), ["1993-01-31", "", "", ""]);
    let error = select(&format!("CASE WHEN d > 0 THEN {made} END"), &batch).unwrap_err();
    assert!(error.contains("row 3"), "{error}");
    assert!(select("TO_TIMESTAMP(d * 1000000000000)", &batch).unwrap_err().contains("row 0"));
}

#[test]
fn the_reference_is_printed() {
    let work = Workdir::new();
    let functions = work.sesame(["schema", "functions"]).expect(0);
    for part in ["MAKE_DATE(year, month, day)", "t AT TIME ZONE 'zone'", "ABS(a) *", "930101 // 10000 = 93"] {
        assert!(functions.out.contains(part), "{part}\n{}", functions.out);
    }
    let columns = work.sesame(["schema", "columns"]).expect(0).out;
    let mut by_table: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut table = "";
    for line in columns.lines() {
        match line.strip_prefix("  ") {
            None => table = line,
            Some(rest) if !rest.starts_with(' ') => {
                by_table.entry(table).or_default().extend(rest.split_whitespace().next());
            }
            Some(_) => {}
        }
    }
    // What is printed is what can be named.
    let contract = sesame::contract::Contract::load().unwrap();
    let calendar = contract.calendar("2025-10-31".parse().unwrap(), &sesame::contract::Zone::utc()).unwrap();
    for (table, names) in by_table.iter().filter(|(_, names)| !names.is_empty()) {
        let table = contract.table(table).unwrap();
        let scope = match table.name.as_str() {
            "subjects" => sesame::contract::subject_scope(table, &contract.limits, &calendar),
            _ => sesame::contract::table_scope(table, &contract.limits, &calendar),
        };
        let mut printed: Vec<&str> = names.clone();
        let mut known: Vec<&str> = scope.names().collect();
        printed.sort_unstable();
        known.sort_unstable();
        assert_eq!(printed, known, "{}", table.name);
    }
    assert!(by_table["purchases"].contains(&"occurred_weekday"));
}

#[test]
fn hours_and_weekdays_are_features_in_the_time_zone() {
    let work = Workdir::new();
    subjects().write(&work.path("export/subjects.parquet"));
    crate::meaning::statements().write(&work.path("export/repayments.parquet"));
    // A Friday, 17:30 in London and Saturday half past one in Shanghai.
    Export::new()
        .text("record_id", ["o1"])
        .text("subject_id", ["s1"])
        .instants("occurred_at", &[Some("2025-01-10T17:30:00Z")])
        .long("amount_minor", [100])
        .text("currency", ["CNY"])
        .text("status", ["settled"])
        .write(&work.path("export/purchases.parquet"));
    for (zone, rows) in [
        ("UTC", "occurred_hour = 17 AND occurred_weekday = 5"),
        ("Asia/Shanghai", "occurred_hour = 1 AND occurred_weekday = 6"),
    ] {
        let declared = format!(
            "name = \"at_night\"\nunit = \"count\"\naggregate = \"count\"\nsource = \"purchases\"\nwhere = \"{rows}\"\nwindow = \"12 months\""
        );
        let model =
            crate::meaning::model_with(&work, &declared, "{ below = 1, share = 400 }, { from = 1, share = 500 }");
        let _ = std::fs::remove_dir_all(work.path("out"));
        let zone = format!("time_zone=\"{zone}\"");
        let more = ["--model", model.to_str().unwrap(), "--set", "privacy.min_cell=1", "--set", &zone];
        work.run_small(&work.path("export"), "out", &more).expect(0);
        assert_eq!(crate::meaning::bins(&work, "at_night"), [(">= 1".to_owned(), 1)], "{zone}");
    }
}

#[test]
fn the_docs_hold_what_is_printed() {
    let work = Workdir::new();
    let page = std::fs::read_to_string(crate::workdir::repository("docs/language.md")).unwrap();
    for list in ["functions", "columns"] {
        let printed = work.sesame(["schema", list]).expect(0).out;
        assert!(
            page.contains(&printed),
            "docs/language.md does not hold what `sesame schema {list}` prints:\n{printed}"
        );
    }
}

#[test]
fn what_has_no_meaning_here_is_refused_when_the_files_are_opened() {
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("d", Arc::new(Date32Array::from(vec![20_000]))),
        ("t", Arc::new(StringViewArray::from(vec!["x"]))),
    ])
    .unwrap();
    // As long as a `select` may be, on a thread with little room.
    let chain = |of: &str, between: &str| vec![of; 1_900].join(between);
    let (quotients, equal) = (chain("n", "/"), chain("n", "="));
    let (sum, all) = (vec!["n"; 500].join("+"), vec!["n>1"; 640].join(" AND "));
    for (wrong, why) in [
        ("CAST(n AS TIMESTAMP)", "TO_TIMESTAMP(seconds)"),
        ("CAST(n AS DATE)", "MAKE_DATE(year, month, day)"),
        ("d + 1.5", "a date takes whole days"),
        ("d + t", "a date takes whole days"),
        ("CAST(n AS DECIMAL(50, 2))", "1 to 38 digits"),
        ("STRPTIME(t, '%Q')", "the format '%Q'"),
        ("STRFTIME(d, '%z')", "the format '%z'"),
        ("n & 3", "is not read here"),
        (sum.as_str(), "computes too much at once"),
        (quotients.as_str(), "chains more than 600 operations"),
        (equal.as_str(), "chains more than 600 operations"),
        (all.as_str(), "chains more than 600 operations"),
    ] {
        let begun = std::time::Instant::now();
        let error = select(wrong, &batch).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
        assert!(begun.elapsed().as_secs() < 10, "{wrong}");
    }
    assert_eq!(text(&select(&chain("t", "||"), &batch).unwrap()), ["x".repeat(1_900)]);
    let conditions = vec!["n=1"; 590];
    assert!(select(&conditions.join(" AND "), &batch).is_ok() && select(&conditions.join(" OR "), &batch).is_ok());
}
