//! Subjects, ties, consents, public records, disputes, sources, outcomes and groups.

use anyhow::Result;
use fastrand::Rng;

use super::columns::{Cells, Shape, TableFile};
use super::events::repayment;
use super::months::Month;
use super::person::{Person, Stream, World, exponential, logistic, minor, normal, whole};
use crate::row;

const DAY: i64 = 86_400_000_000;

fn days_before(rng: &mut Rng, last: i64, months: f64) -> i64 {
    last - i64::from(whole(months.max(0.0) * 30.4)) - rng.i64(0..28)
}

/// Gives a value with a chance.
fn told<T>(rng: &mut Rng, chance: f64, value: T) -> Option<T> {
    (rng.f64() < chance).then_some(value)
}

fn count(value: u32) -> Option<i32> {
    i32::try_from(value).ok()
}

/// The columns of `subjects`.
#[must_use]
pub(super) fn subject_shape() -> Shape {
    vec![
        ("subject_id", Cells::Text(vec![])),
        ("kind", Cells::Word(vec![])),
        ("registered_on", Cells::Date(vec![])),
        ("identity_level", Cells::Int(vec![])),
        ("profile_fields", Cells::Int(vec![])),
        ("verified_fields", Cells::Int(vec![])),
        ("conflicting_fields", Cells::Int(vec![])),
        ("phone_since", Cells::Date(vec![])),
        ("address_since", Cells::Date(vec![])),
        ("employment_since", Cells::Date(vec![])),
        ("contact_changes_12m", Cells::Int(vec![])),
        ("monthly_income_minor", Cells::Long(vec![])),
        ("avg_balance_90d_minor", Cells::Long(vec![])),
        ("min_balance_90d_minor", Cells::Long(vec![])),
        ("last_verified_on", Cells::Date(vec![])),
        ("deceased", Cells::Flag(vec![])),
        ("closed_on", Cells::Date(vec![])),
        ("known_at", Cells::Instant(vec![])),
        ("source_id", Cells::Word(vec![])),
    ]
}

/// Writes a subject, some in two versions.
///
/// # Errors
/// When the disk is full.
pub(super) fn subject(world: &World, person: &Person, id: &str, last: i64, file: &mut TableFile) -> Result<()> {
    let mut rng = world.rng(Stream::Registers, person.number, 1);
    let w = person.worth;
    let registered = last - i64::from(person.months_known) * 30 - rng.i64(0..28);
    let level = i32::try_from(whole((2.4 + 0.7 * w + 0.9 * normal(&mut rng)).clamp(0.0, 4.99))).ok();
    let fields = 4 + rng.u32(0..13);
    let verified =
        whole((f64::from(fields) * (0.55 + 0.14 * w + 0.15 * normal(&mut rng))).clamp(0.0, f64::from(fields)));
    let conflicting = if rng.f64() < (0.08 - 0.03 * w).max(0.01) { 1 + rng.u32(0..fields / 2) } else { 0 };
    let tenure = |rng: &mut Rng, mean: f64| {
        let months = exponential(rng, (mean * (0.35 * w).exp()).max(1.0));
        days_before(rng, last, months)
    };
    let (phone, home, work) = (tenure(&mut rng, 40.0), tenure(&mut rng, 45.0), tenure(&mut rng, 38.0));
    let moves = whole(exponential(&mut rng, (0.7 - 0.25 * w).max(0.1)));
    let average = person.income * (0.6 + 0.4 * w + 0.5 * normal(&mut rng));
    let least = average * 0.5 * rng.f64() - person.income * 0.12 * rng.f64();
    let (income, average, least) =
        (told(&mut rng, 0.7, person.income), told(&mut rng, 0.65, average), told(&mut rng, 0.65, least));
    let unconfirmed = exponential(&mut rng, 9.0);
    let confirmed = days_before(&mut rng, last, unconfirmed);
    let dead = rng.f64() < 0.001;
    let closed = (rng.f64() < 0.004).then(|| last - rng.i64(0..200));
    let (phone, home, work) = (told(&mut rng, 0.92, phone), told(&mut rng, 0.85, home), told(&mut rng, 0.7, work));
    let old_version = rng.f64() < 0.03;
    let mut put = |verified: u32, known: i64| {
        row!(
            file,
            Text Some(id.to_owned()), Word Some(if person.business { "small_business" } else { "consumer" }), Date Some(registered),
            Int level, Int count(fields), Int count(verified), Int count(conflicting), Date phone.map(|d| d.max(registered - 3650)),
            Date home, Date work, Int count(moves), Long income.map(minor), Long average.map(minor), Long least.map(minor),
            Date Some(confirmed.max(registered)), Flag Some(dead), Date closed.map(|c| c.max(registered)), Instant Some(known), Word Some("platform"),
        )
    };
    if old_version {
        put(verified / 2, (registered + 1).min(last) * DAY)?;
    }
    put(verified, (registered + 2).min(last) * DAY)
}

/// The columns of `friend_links`.
#[must_use]
pub(super) fn tie_shape() -> Shape {
    vec![
        ("subject_a", Cells::Text(vec![])),
        ("subject_b", Cells::Text(vec![])),
        ("since", Cells::Date(vec![])),
        ("until", Cells::Date(vec![])),
        ("interactions_90d", Cells::Int(vec![])),
        ("known_at", Cells::Instant(vec![])),
    ]
}

/// Writes the ties a subject begins: about five, to people of like creditworthiness, often to the same well-known ones.
///
/// # Errors
/// When the disk is full.
pub(super) fn ties(world: &World, number: u64, id: &str, last: i64, file: &mut TableFile) -> Result<()> {
    let mut rng = world.rng(Stream::Ties, number, 0);
    let own = world.rank(number);
    let begun = 1 + whole(exponential(&mut rng, 3.9)).min(400);
    for _ in 0..begun {
        // A neighbour in the order of creditworthiness, most often within a tenth of the population ...
        let reach = world.subjects as f64 * if rng.f64() < 0.8 { 0.10 } else { 0.6 };
        let step = reach * normal(&mut rng);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "folded back into the population below"
        )]
        let aimed = (own as f64 + step) as i64;
        let size = i64::try_from(world.subjects)?;
        let mut rank = aimed.rem_euclid(2 * size);
        if rank >= size {
            rank = 2 * size - 1 - rank;
        }
        // ... moved to a hub nearby: a multiple of 2^k for a k whose chance falls slower than hubs get rarer.
        let fineness = whole(exponential(&mut rng, 2.6)).min(20);
        let rank = u64::try_from(rank)? >> fineness << fineness;
        let other = world.at_rank(rank);
        if other == number {
            continue;
        }
        let age = 20 + i64::from(whole(exponential(&mut rng, 500.0)));
        let until = (rng.f64() < 0.04).then(|| last - rng.i64(0..age.min(300)));
        let interactions = (rng.f64() < 0.9).then(|| whole(exponential(&mut rng, 6.0))).and_then(count);
        let since = last - age;
        let partner = world.pseudonym(other);
        let known = Some((since + 1) * DAY);
        row!(file, Text Some(id.to_owned()), Text Some(partner.clone()), Date Some(since), Date until, Int interactions, Instant known)?;
        if rng.f64() < 0.2 {
            row!(file, Text Some(partner), Text Some(id.to_owned()), Date Some(since), Date until, Int interactions, Instant known)?;
        }
    }
    Ok(())
}

/// The columns of `consents`.
#[must_use]
pub(super) fn consent_shape() -> Shape {
    vec![
        ("subject_id", Cells::Text(vec![])),
        ("purpose", Cells::Word(vec![])),
        ("partner_id", Cells::Word(vec![])),
        ("granted_at", Cells::Instant(vec![])),
        ("revoked_at", Cells::Instant(vec![])),
        ("expires_at", Cells::Instant(vec![])),
    ]
}

/// Writes a subject's consents: 3 % never gave or withdrew the one to be scored.
///
/// # Errors
/// When the disk is full.
pub(super) fn consents(world: &World, person: &Person, id: &str, last: i64, file: &mut TableFile) -> Result<()> {
    let mut rng = world.rng(Stream::Registers, person.number, 2);
    let granted = (last - i64::from(person.months_known) * 30) * DAY;
    for (purpose, partner, given, withdrawn) in
        [("score", None, 0.99, 0.02), ("network", None, 0.85, 0.05), ("release", Some("partner-a"), 0.3, 0.1)]
    {
        if rng.f64() < given {
            let revoked = (rng.f64() < withdrawn).then(|| granted + rng.i64(0..(last * DAY - granted).max(1)));
            row!(file, Text Some(id.to_owned()), Word Some(purpose), Word partner, Instant Some(granted), Instant revoked, Instant None)?;
        }
    }
    Ok(())
}

/// The columns of `public_records`.
#[must_use]
pub(super) fn record_shape() -> Shape {
    vec![
        ("record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("kind", Cells::Word(vec![])),
        ("listed_on", Cells::Date(vec![])),
        ("status", Cells::Word(vec![])),
        ("status_on", Cells::Date(vec![])),
        ("match", Cells::Word(vec![])),
        ("amount_minor", Cells::Long(vec![])),
        ("known_at", Cells::Instant(vec![])),
    ]
}

/// Writes a subject's public record, which few have.
///
/// # Errors
/// When the disk is full.
pub(super) fn public_records(world: &World, person: &Person, id: &str, last: i64, file: &mut TableFile) -> Result<()> {
    let mut rng = world.rng(Stream::Registers, person.number, 3);
    if rng.f64() >= logistic(-6.0 - 1.3 * person.worth) {
        return Ok(());
    }
    let kind = ["court_defaulter", "court_defaulter", "judgment", "tax", "insolvency"][rng.usize(0..5)];
    let listed = last - rng.i64(10..900);
    let ended = rng.f64() < 0.3;
    let status = if ended { ["satisfied", "removed", "appealed"][rng.usize(0..3)] } else { "active" };
    let status_on = ended.then(|| listed + rng.i64(0..(last - listed)));
    let sure = if rng.f64() < 0.85 { "exact" } else { "probable" };
    let amount = told(&mut rng, 0.8, minor(person.income * 5.0));
    row!(
        file,
        Long i64::try_from(person.number).ok(), Text Some(id.to_owned()), Word Some(kind), Date Some(listed), Word Some(status),
        Date status_on, Word Some(sure), Long amount, Instant Some((listed + 2) * DAY),
    )
}

/// The columns of `disputes`.
#[must_use]
pub(super) fn dispute_shape() -> Shape {
    vec![
        ("dispute_id", Cells::Long(vec![])),
        ("table", Cells::Word(vec![])),
        ("record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("opened_at", Cells::Instant(vec![])),
        ("state", Cells::Word(vec![])),
        ("closed_at", Cells::Instant(vec![])),
        ("known_at", Cells::Instant(vec![])),
    ]
}

/// Writes a subject's dispute of a late repayment: a few in a hundred who have one dispute it.
///
/// # Errors
/// When the disk is full.
pub(super) fn disputes(
    world: &World,
    person: &Person,
    months: &[Month],
    last: i64,
    file: &mut TableFile,
) -> Result<()> {
    let mut rng = world.rng(Stream::Registers, person.number, 4);
    if person.accounts.is_empty() || rng.f64() >= 0.03 {
        return Ok(());
    }
    let late = months.iter().rev().filter_map(|m| repayment(world, person, 0, m, last)).find(|r| r.payment.late_by > 0);
    let Some(record) = late.filter(|r| r.due + 5 < last) else { return Ok(()) };
    let opened = record.due + 1 + rng.i64(0..(last - record.due).max(2) - 1);
    let state = ["open", "open", "upheld", "rejected", "withdrawn"][rng.usize(0..5)];
    let closed = (state != "open").then(|| opened + rng.i64(0..(last - opened).max(1)));
    row!(
        file,
        Long i64::try_from(person.number).ok(), Word Some("repayments"), Long Some(record.record),
        Text Some(world.pseudonym(person.number)), Instant Some(opened * DAY), Word Some(state), Instant closed.map(|c| c * DAY), Instant Some(closed.unwrap_or(opened) * DAY),
    )
}

/// The columns of `outcomes`.
#[must_use]
pub(super) fn outcome_shape() -> Shape {
    vec![
        ("subject_id", Cells::Text(vec![])),
        ("as_of", Cells::Date(vec![])),
        ("horizon_days", Cells::Int(vec![])),
        ("bad", Cells::Flag(vec![])),
    ]
}

/// Writes what becomes of a subject in the year after a month; `drift` is added to the log-odds of going bad.
///
/// # Errors
/// When the disk is full.
pub(super) fn outcome(
    world: &World,
    person: &Person,
    id: &str,
    month: &Month,
    drift: f64,
    file: &mut TableFile,
) -> Result<()> {
    // Steps below a thousand are those of other registers.
    let step = if month.ago == 0 { 5 } else { 1_000 + u64::from(month.ago) };
    let mut rng = world.rng(Stream::Registers, person.number, step);
    let strained = if person.distressed(month.ago) || person.distressed(month.ago + 1) { 1.2 } else { 0.0 };
    let bad = rng.f64() < logistic(-2.9 - 1.15 * person.worth + strained + drift);
    row!(file, Text Some(id.to_owned()), Date Some(month.last), Int Some(365), Flag Some(bad))
}

/// The columns of `groups`.
#[must_use]
pub(super) fn group_shape() -> Shape {
    vec![("subject_id", Cells::Text(vec![])), ("sex", Cells::Word(vec![])), ("age_band", Cells::Word(vec![]))]
}

/// Writes a subject's groups, which nothing else depends on.
///
/// # Errors
/// When the disk is full.
pub(super) fn groups(world: &World, number: u64, id: &str, file: &mut TableFile) -> Result<()> {
    let mut rng = world.rng(Stream::Registers, number, 6);
    let sex = ["f", "m"][rng.usize(0..2)];
    let years = ["18-29", "30-39", "40-49", "50-59", "60+"][rng.usize(0..5)];
    row!(file, Text Some(id.to_owned()), Word Some(sex), Word Some(years))
}

/// The columns of `sources`.
#[must_use]
pub(super) fn source_shape() -> Shape {
    vec![("source_id", Cells::Word(vec![])), ("kind", Cells::Word(vec![])), ("reliability", Cells::Share(vec![]))]
}

/// Writes the sources.
///
/// # Errors
/// When the disk is full.
pub(super) fn sources(file: &mut TableFile) -> Result<()> {
    for (id, kind, reliability) in
        [("bank", "lender", 1.0), ("utility", "supplier", 0.95), ("platform", "marketplace", 0.9)]
    {
        row!(file, Word Some(id), Word Some(kind), Share Some(reliability))?;
    }
    Ok(())
}
