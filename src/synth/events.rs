//! Repayments, utility bills and purchases of one month.

use anyhow::Result;
use fastrand::Rng;

use super::columns::{Cells, Shape, TableFile};
use super::months::Month;
use super::person::{Person, Stream, World, exponential, minor, normal, poisson, whole};
use crate::row;

const DAY: i64 = 86_400_000_000;
const PRODUCTS: [&str; 5] = ["instalment", "revolving", "mortgage", "line", "other"];
const SERVICES: [&str; 9] =
    ["electricity", "gas", "water", "telecom", "internet", "heating", "rent", "property_fee", "other"];
/// Share of rows that come twice.
const REPEATED: f64 = 0.003;
/// Share of rows that are corrected later.
const CORRECTED: f64 = 0.003;
/// Share of rows that break a rule.
const BROKEN: f64 = 0.000_1;

/// The columns of `repayments`.
#[must_use]
pub(super) fn repayment_shape() -> Shape {
    vec![
        ("+record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("account_id", Cells::Long(vec![])),
        ("product", Cells::Word(vec![])),
        ("opened_on", Cells::Date(vec![])),
        ("due_on", Cells::Date(vec![])),
        ("amount_due_minor", Cells::Long(vec![])),
        ("amount_paid_minor", Cells::Long(vec![])),
        ("paid_on", Cells::Date(vec![])),
        ("balance_minor", Cells::Long(vec![])),
        ("limit_minor", Cells::Long(vec![])),
        ("currency", Cells::Word(vec![])),
        ("known_at", Cells::Instant(vec![])),
        ("source_id", Cells::Word(vec![])),
    ]
}

/// The columns of `utility_payments`.
#[must_use]
pub(super) fn utility_shape() -> Shape {
    vec![
        ("+record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("account_id", Cells::Long(vec![])),
        ("service", Cells::Word(vec![])),
        ("due_on", Cells::Date(vec![])),
        ("amount_due_minor", Cells::Long(vec![])),
        ("amount_paid_minor", Cells::Long(vec![])),
        ("paid_on", Cells::Date(vec![])),
        ("autopay", Cells::Flag(vec![])),
        ("currency", Cells::Word(vec![])),
        ("known_at", Cells::Instant(vec![])),
        ("source_id", Cells::Word(vec![])),
    ]
}

/// The columns of `purchases`.
#[must_use]
pub(super) fn purchase_shape() -> Shape {
    vec![
        ("+record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("occurred_at", Cells::Instant(vec![])),
        ("amount_minor", Cells::Long(vec![])),
        ("currency", Cells::Word(vec![])),
        ("merchant_id", Cells::Int(vec![])),
        ("category_code", Cells::Int(vec![])),
        ("status", Cells::Word(vec![])),
        ("refund_of", Cells::Long(vec![])),
        ("known_at", Cells::Instant(vec![])),
        ("source_id", Cells::Word(vec![])),
    ]
}

/// When an exporter learns of something that happened on a day: in the night after, seldom much later.
pub(super) fn known(rng: &mut Rng, day: i64) -> i64 {
    let late = if rng.f64() < 0.01 { 1 + i64::from(whole(exponential(rng, 12.0))) } else { 0 };
    (day + 1 + late) * DAY + 7_200_000_000
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How a bill ended: what was paid and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payment {
    /// What was paid.
    pub amount: i64,
    /// On which day.
    pub day: Option<i64>,
    /// Days after the due date.
    pub late_by: i64,
}

/// Pays a bill, or not; a payment after the last day has not happened yet.
fn pay(rng: &mut Rng, person: &Person, months_ago: u32, due: i64, amount: i64, easy: f64, last: i64) -> Payment {
    let late = rng.f64() < person.lateness(months_ago) * easy;
    if !late {
        let day = due - rng.i64(0..6);
        return Payment { amount, day: Some(day.min(last)), late_by: 0 };
    }
    let days = 1 + i64::from(whole(exponential(rng, if person.distressed(months_ago) { 34.0 } else { 9.0 })));
    if due + days > last {
        return Payment { amount: 0, day: None, late_by: days };
    }
    Payment { amount, day: Some(due + days), late_by: days }
}

/// A repayment as it stands on the last day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repayment {
    /// Its id.
    pub record: i64,
    /// The due date.
    pub due: i64,
    /// What is due.
    pub amount: i64,
    /// How it ended.
    pub payment: Payment,
    /// Balance and limit of a card or line.
    pub credit: Option<(i64, i64)>,
}

/// One account's bill of a month, if it has one.
#[must_use]
pub(super) fn repayment(world: &World, person: &Person, account: usize, month: &Month, last: i64) -> Option<Repayment> {
    let a = &person.accounts[account];
    if month.ago > a.opened || !person.active(month.ago) {
        return None;
    }
    let due = month.first + i64::from(a.due_day) - 1;
    if due > month.last {
        return None;
    }
    let slot = u64::from(month.ago) * 8 + account as u64;
    let mut rng = world.rng(Stream::Repayments, person.number, slot);
    let (amount, credit) = if matches!(a.product, 1 | 3) {
        let strain = if person.distressed(month.ago) { 0.25 } else { 0.0 };
        let balance = minor(a.amount * (a.usage + strain + 0.12 * normal(&mut rng)).clamp(0.0, 1.2));
        (balance / 10, Some((balance, minor(a.amount))))
    } else {
        (minor(a.amount), None)
    };
    let payment = if amount == 0 {
        Payment { amount: 0, day: None, late_by: 0 }
    } else {
        pay(&mut rng, person, month.ago, due, amount, 1.0, last)
    };
    Some(Repayment { record: signed(person.number * 2048 + slot), due, amount, payment, credit })
}

/// Writes a subject's repayments of a month.
///
/// # Errors
/// When the disk is full.
pub(super) fn repayments(
    world: &World,
    person: &Person,
    id: &str,
    month: &Month,
    last: i64,
    file: &mut TableFile,
) -> Result<()> {
    for n in 0..person.accounts.len() {
        let Some(r) = repayment(world, person, n, month, last) else { continue };
        let a = &person.accounts[n];
        let mut rng = world.rng(Stream::Repayments, person.number, 1_000_000 + u64::from(month.ago) * 8 + n as u64);
        let opened = last - i64::from(a.opened) * 30 - i64::from(a.due_day);
        let seen = known(&mut rng, r.due.max(r.payment.day.unwrap_or(r.due)).min(last));
        let mut put = |paid: i64, day: Option<i64>, amount: i64, known: i64, currency: &'static str| {
            row!(
                file,
                Long Some(r.record), Text Some(id.to_owned()), Long Some(signed(person.number * 8 + n as u64)),
                Word Some(PRODUCTS[a.product]), Date Some(opened.min(r.due)), Date Some(r.due), Long Some(amount), Long Some(paid),
                Date day, Long r.credit.map(|c| c.0), Long r.credit.map(|c| c.1),
                Word Some(currency), Instant Some(known), Word Some("bank"),
            )
        };
        let kind = rng.f64();
        if kind < CORRECTED {
            // First exported as unpaid, corrected days later.
            put(0, None, r.amount, seen - 3 * DAY, "CNY")?;
        }
        let (amount, currency) = match rng.f64() {
            x if x < BROKEN => (-r.amount - 1, "CNY"),
            x if x < 2.0 * BROKEN => (r.amount, "USD"),
            _ => (r.amount, "CNY"),
        };
        put(r.payment.amount, r.payment.day, amount, seen, currency)?;
        if (CORRECTED..CORRECTED + REPEATED).contains(&kind) {
            put(r.payment.amount, r.payment.day, amount, seen, currency)?;
        }
    }
    Ok(())
}

/// Writes a subject's utility bills of a month.
///
/// # Errors
/// When the disk is full.
pub(super) fn utilities(
    world: &World,
    person: &Person,
    id: &str,
    month: &Month,
    last: i64,
    file: &mut TableFile,
) -> Result<()> {
    if !person.active(month.ago) {
        return Ok(());
    }
    for (n, s) in person.services.iter().enumerate() {
        let due = month.first + i64::from(s.due_day) - 1;
        if due > month.last {
            continue;
        }
        let slot = u64::from(month.ago) * 8 + n as u64;
        let mut rng = world.rng(Stream::Utilities, person.number, slot);
        // Heating and electricity follow the season, rent and lines do not move.
        let season = if matches!(s.service, 0 | 1 | 5) {
            1.0 + 0.35 * (f64::from(month.ago) * std::f64::consts::TAU / 12.0).cos()
        } else {
            1.0
        };
        let steady = if matches!(s.service, 3 | 4 | 6 | 7) { 0.02 } else { 0.18 };
        let amount = minor(s.bill * season * (steady * normal(&mut rng)).exp());
        let easy = if s.autopay { 0.25 } else { 0.8 };
        let payment = pay(&mut rng, person, month.ago, due, amount, easy, last);
        let seen = known(&mut rng, due.max(payment.day.unwrap_or(due)).min(last));
        let autopay = if rng.f64() < 0.9 { Some(s.autopay) } else { None };
        let mut put = || {
            row!(
                file,
                Long Some(signed(person.number * 2048 + slot)), Text Some(id.to_owned()), Long Some(signed(person.number * 8 + n as u64)),
                Word Some(SERVICES[s.service]), Date Some(due), Long Some(amount), Long Some(payment.amount), Date payment.day,
                Flag autopay, Word Some("CNY"), Instant Some(seen), Word Some("utility"),
            )
        };
        put()?;
        if rng.f64() < REPEATED {
            put()?;
        }
    }
    Ok(())
}

/// Writes a subject's purchases of a month.
///
/// # Errors
/// When the disk is full.
pub(super) fn purchases(world: &World, person: &Person, id: &str, month: &Month, file: &mut TableFile) -> Result<()> {
    if !person.active(month.ago) {
        return Ok(());
    }
    let mut rng = world.rng(Stream::Purchases, person.number, u64::from(month.ago));
    let short = person.distressed(month.ago);
    let orders = poisson(&mut rng, person.orders * if short { 0.6 } else { 1.0 });
    let days = month.last - month.first + 1;
    // Each subject has its own favourite sellers and categories.
    let mut taste = world.rng(Stream::Purchases, person.number, 1_000_000);
    let (sellers, categories) = (taste.i32(0..200_000), taste.i32(0..60));
    let faults = crate::synth::person::logistic(-3.2 - 0.5 * person.worth + if short { 1.0 } else { 0.0 });
    for n in 0..orders {
        let day = month.first + rng.i64(0..days);
        let at = day * DAY + rng.i64(0..86_400) * 1_000_000;
        let amount = 1 + minor(person.order_size * (0.8 * normal(&mut rng)).exp());
        let draw = rng.f64();
        let status = match draw {
            x if x < 0.5 * faults => "declined",
            x if x < 0.9 * faults => "cancelled_by_buyer",
            x if x < faults => "chargeback_lost",
            x if x < faults + 0.012 => "cancelled_by_seller",
            x if x < faults + 0.014 => "chargeback_won",
            x if x < faults + 0.05 => "refunded",
            _ => "settled",
        };
        let merchant =
            if rng.f64() < 0.7 { sellers + whole_i32(exponential(&mut rng, 4.0)) } else { rng.i32(0..200_000) };
        let category = (categories + whole_i32(exponential(&mut rng, 3.0))) % 60;
        let record = signed(person.number * 65_536 + u64::from(month.ago) * 512 + u64::from(n));
        let seen = known(&mut rng, day);
        let mut put = |record: i64, at: i64, amount: i64, status: &'static str, refund_of: Option<i64>| {
            row!(
                file,
                Long Some(record), Text Some(id.to_owned()), Instant Some(at), Long Some(amount), Word Some("CNY"),
                Int Some(merchant), Int Some(category), Word Some(status), Long refund_of, Instant Some(seen), Word Some("platform"),
            )
        };
        put(record, at, amount, status, None)?;
        if status == "refunded" {
            put(record + 32_768, at + 3_600_000_000, amount, "settled", Some(record))?;
        }
        if rng.f64() < REPEATED {
            put(record, at, amount, status, None)?;
        }
    }
    Ok(())
}

fn whole_i32(value: f64) -> i32 {
    i32::try_from(whole(value)).unwrap_or(i32::MAX)
}
