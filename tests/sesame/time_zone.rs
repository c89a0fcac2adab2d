//! Days of a time zone: every instant on both sides of local midnight, also where clocks change that day.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::exports::{Export, repayments};
use crate::workdir::Workdir;

/// Zones and days: the clocks go back, go forward, skip midnight itself, and never change.
const DAYS: [(&str, &str); 6] = [
    ("Europe/Berlin", "2024-10-27"),
    ("Europe/Berlin", "2024-03-31"),
    ("America/New_York", "2024-11-03"),
    ("Asia/Beirut", "2024-03-30"),
    ("Asia/Shanghai", "2025-01-31"),
    ("UTC", "2025-01-31"),
];

/// The first instant after a day, by the machine's own rules for the zone.
fn end_of(zone: &str, day: &str) -> Timestamp {
    let zone = TimeZone::get(zone).unwrap();
    let next = day.parse::<Date>().unwrap().tomorrow().unwrap();
    zone.to_zoned(next.at(0, 0, 0, 0)).unwrap().timestamp()
}

/// The last microsecond of a day, and the one after.
fn around(zone: &str, day: &str) -> [String; 2] {
    let end = end_of(zone, day);
    [(end - SignedDuration::from_micros(1)).to_string(), end.to_string()]
}

fn audit(work: &Workdir, zone: &str, day: &str, more: &[&str]) -> Value {
    let _ = std::fs::remove_dir_all(work.path("out"));
    let (zone, as_of) = (format!("time_zone=\"{zone}\""), ["--as-of", day]);
    let sets = [
        "gates.max_quarantined_share=1.0",
        "gates.min_scored_share=0.0",
        "gates.max_age_days=100000",
        "privacy.min_cell=1",
    ];
    let sets = sets.into_iter().chain([zone.as_str()]).flat_map(|set| ["--set", set]);
    let args: Vec<&str> = as_of.into_iter().chain(sets).chain(more.iter().copied()).collect();
    work.run(&work.path("export"), "out", &args).expect(0);
    work.audit("out")
}

/// Subjects `s0`, `s1` and so on.
fn people(count: usize) -> (Vec<String>, Export) {
    let ids: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
    let export = Export::new().text("subject_id", ids.iter().map(String::as_str)).text("kind", vec!["consumer"; count]);
    (ids, export)
}

const AGREED: [&str; 2] = ["--set", "consent_statement=\"test\""];

#[test]
fn what_happened_or_became_known_before_local_midnight_counts() {
    for (zone, day) in DAYS {
        let work = Workdir::new();
        people(1).1.write(&work.path("export/subjects.parquet"));
        let [before, after] = around(zone, day);
        let early = "2024-01-05T00:00:00Z";
        // What became known with the first instant after the day is in time; a microsecond later it is not.
        let too_late = (end_of(zone, day) + SignedDuration::from_micros(1)).to_string();
        let (occurred, known) =
            ([&before, &after, early, early], [None, None, Some(after.as_str()), Some(too_late.as_str())]);
        Export::new()
            .text("record_id", ["o1", "o2", "o3", "o4"])
            .text("subject_id", ["s0"; 4])
            .instants("occurred_at", &occurred.map(|t| Some(t as &str)))
            .instants("known_at", &known)
            .long("amount_minor", [100; 4])
            .text("currency", ["CNY"; 4])
            .text("status", ["settled"; 4])
            .write(&work.path("export/purchases.parquet"));
        let found = audit(&work, zone, day, &AGREED);
        let counts = &found["conservation"]["purchases"];
        assert_eq!((&counts["used"], &counts["not_visible"]), (&2.into(), &2.into()), "{zone} {day}: {counts}");
        assert_eq!(found["provenance"]["time_zone"], zone);
        // A day as the knowledge cut-off ends with its last local microsecond, too.
        let by = day.parse::<Date>().unwrap().to_string();
        let next = day.parse::<Date>().unwrap().tomorrow().unwrap().to_string();
        let later = audit(&work, zone, &next, &[AGREED[0], AGREED[1], "--known-by", &by]);
        assert_eq!(later["provenance"]["known_by"], end_of(zone, day).to_string());
    }
}

#[test]
fn consents_and_disputes_begin_and_end_by_local_days() {
    for (zone, day) in DAYS {
        let work = Workdir::new();
        let [before, after] = around(zone, day);
        let (ids, subjects) = people(6);
        subjects.write(&work.path("export/subjects.parquet"));
        let early = "2020-01-01T00:00:00Z";
        // In force: granted before, revoked after, expiring after.
        Export::new()
            .text("subject_id", ids.iter().map(String::as_str))
            .text("purpose", ["score"; 6])
            .instants(
                "granted_at",
                &[Some(before.as_str()), Some(after.as_str()), Some(early), Some(early), Some(early), Some(early)],
            )
            .instants("revoked_at", &[None, None, Some(&before), Some(&after), None, None])
            .instants("expires_at", &[None, None, None, None, Some(&before), Some(&after)])
            .write(&work.path("export/consents.parquet"));
        let found = audit(&work, zone, day, &[]);
        let statuses = found["coverage"]["statuses"].as_array().unwrap();
        let refused = statuses.iter().find(|s| s["status"] == "no_consent").unwrap()["subjects"].clone();
        assert_eq!(refused, 3, "{zone} {day}");
        std::fs::remove_file(work.path("export/consents.parquet")).unwrap();
        let rows: Vec<&str> = ids[..4].iter().map(String::as_str).collect();
        repayments_of(&rows).write(&work.path("export/repayments.parquet"));
        // Contested: opened before, and rejected only after.
        Export::new()
            .text("dispute_id", ["d0", "d1", "d2", "d3"])
            .text("table", ["repayments"; 4])
            .text("record_id", rows.iter().copied())
            .text("subject_id", rows.iter().copied())
            .instants("opened_at", &[Some(before.as_str()), Some(after.as_str()), Some(early), Some(early)])
            .text("state", ["open", "open", "rejected", "rejected"])
            .instants("closed_at", &[None, None, Some(before.as_str()), Some(after.as_str())])
            .write(&work.path("export/disputes.parquet"));
        let found = audit(&work, zone, day, &AGREED);
        let counts = &found["conservation"]["repayments"];
        assert_eq!((&counts["disputed_out"], &counts["used"]), (&2.into(), &2.into()), "{zone} {day}: {counts}");
    }
}

/// A paid instalment of each, with its subject's id.
fn repayments_of(ids: &[&str]) -> Export {
    let rows = ids.len();
    repayments()
        .text("record_id", ids.iter().copied())
        .text("subject_id", ids.iter().copied())
        .text("account_id", ids.iter().copied())
        .text("product", vec!["instalment"; rows])
        .date("due_on", &vec![Some("2024-01-05"); rows])
        .long("amount_due_minor", vec![100; rows])
        .long("amount_paid_minor", vec![100; rows])
        .date("paid_on", &vec![Some("2024-01-05"); rows])
        .text("currency", vec!["CNY"; rows])
}

#[test]
fn a_backfill_gives_every_local_day_what_a_run_of_it_gives() {
    let work = Workdir::new();
    people(2).1.write(&work.path("export/subjects.parquet"));
    let days = ["2024-10-26", "2024-10-27", "2024-10-28"];
    let times: Vec<String> = days.iter().flat_map(|day| around("Europe/Berlin", day)).collect();
    let ids: Vec<String> = (0..times.len()).map(|n| format!("o{n}")).collect();
    Export::new()
        .text("record_id", ids.iter().map(String::as_str))
        .text("subject_id", ["s0"; 6])
        .instants("occurred_at", &times.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>())
        .long("amount_minor", [100; 6])
        .text("currency", ["CNY"; 6])
        .text("status", ["settled"; 6])
        .write(&work.path("export/purchases.parquet"));
    let mut sets = vec!["--set", "time_zone=\"Europe/Berlin\"", AGREED[0], AGREED[1]];
    for set in
        ["gates.min_scored_share=0.0", "gates.max_psi=100.0", "gates.max_band_jump=1.0", "gates.max_age_days=1000"]
    {
        sets.extend(["--set", set]);
    }
    let range = ["--from", days[0], "--to", days[2], "--every", "day"];
    let all: Vec<&str> = range.iter().chain(&sets).copied().collect();
    work.sesame(work.arguments("backfill", &work.path("export"), "together", &all)).expect(0);
    for day in days {
        let one: Vec<&str> = ["--as-of", day].iter().chain(&sets).copied().collect();
        work.run(&work.path("export"), "alone", &one).expect(0);
    }
    assert!(work.published("together").len() == 3 && work.published("together") == work.published("alone"));
    for (n, day) in days.iter().enumerate() {
        let found = glob::glob(work.path(&format!("together/runs/{day}*/audit.json")).to_str().unwrap()).unwrap();
        let text = std::fs::read_to_string(found.map(Result::unwrap).next().unwrap()).unwrap();
        let audit: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(audit["conservation"]["purchases"]["used"], 2 * n + 1, "{day}");
    }
}

#[test]
fn yesterday_is_that_of_the_time_zone() {
    let work = Workdir::new();
    people(1).1.write(&work.path("export/subjects.parquet"));
    // Never on one date: 25 hours apart.
    let yesterdays = ["Pacific/Kiritimati", "Pacific/Pago_Pago"].map(|zone| {
        let yesterday = || Timestamp::now().to_zoned(TimeZone::get(zone).unwrap()).date().yesterday().unwrap();
        let (from, zone) = (yesterday(), format!("time_zone=\"{zone}\""));
        let args = ["--as-of", "yesterday", "--set", &zone, AGREED[0], AGREED[1]];
        let said = work.sesame(work.arguments("check", &work.path("export"), "out", &args)).expect(0);
        // Midnight may pass between the two looks at the clock.
        [from, yesterday()]
            .into_iter()
            .find(|day| said.err.contains(&format!("as of {day}")))
            .unwrap_or_else(|| panic!("{}", said.err))
    });
    assert!(yesterdays[0] > yesterdays[1]);
    let tomorrow =
        Timestamp::now().to_zoned(TimeZone::get("Pacific/Pago_Pago").unwrap()).date().tomorrow().unwrap().to_string();
    let args = ["--as-of", &tomorrow, "--set", "time_zone=\"Pacific/Pago_Pago\"", AGREED[0], AGREED[1]];
    let refused = work.sesame(work.arguments("check", &work.path("export"), "out", &args)).expect(2);
    refused.says("lies in the future").says("in Pacific/Pago_Pago");
}

#[test]
fn a_zone_that_is_none_is_told_with_its_line_and_what_was_meant() {
    let work = Workdir::new();
    let text = std::fs::read_to_string(crate::workdir::repository("pipelines/nightly.toml")).unwrap();
    std::fs::write(work.path("p.toml"), text.replacen("currency", "time_zone = \"Asia/Shangai\"\ncurrency", 1))
        .unwrap();
    work.sesame(["check", "p.toml"]).expect(2).says("p.toml:6").says("did you mean `Asia/Shanghai`");
}

#[test]
fn another_zone_is_another_run() {
    let work = Workdir::new();
    people(1).1.write(&work.path("export/subjects.parquet"));
    let ids = ["UTC", "Asia/Shanghai", "Asia/Hong_Kong"]
        .map(|zone| audit(&work, zone, "2025-01-31", &AGREED)["provenance"]["run"].as_str().unwrap().to_owned());
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}
