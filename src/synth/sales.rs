//! What small businesses sell in a month.

use anyhow::Result;

use super::columns::{Cells, Shape, TableFile};
use super::events::{known, signed};
use super::months::Month;
use super::person::{Person, Stream, World, minor, normal, poisson};
use crate::row;

const CHANNELS: [&str; 5] = ["own_shop", "marketplace", "store", "wholesale", "other"];

/// The columns of `sales`.
#[must_use]
pub(super) fn shape() -> Shape {
    vec![
        ("+record_id", Cells::Long(vec![])),
        ("subject_id", Cells::Text(vec![])),
        ("ended_on", Cells::Date(vec![])),
        ("channel", Cells::Word(vec![])),
        ("orders", Cells::Int(vec![])),
        ("turnover_minor", Cells::Long(vec![])),
        ("returned_orders", Cells::Int(vec![])),
        ("complaints", Cells::Int(vec![])),
        ("rating", Cells::Share(vec![])),
        ("currency", Cells::Word(vec![])),
        ("known_at", Cells::Instant(vec![])),
        ("source_id", Cells::Word(vec![])),
    ]
}

/// Writes a subject's sales of a month, one row per channel; nothing for a person, or for a month that has not ended.
///
/// # Errors
/// When the disk is full.
pub(super) fn of_month(world: &World, person: &Person, id: &str, month: &Month, file: &mut TableFile) -> Result<()> {
    if !person.business || !month.whole || !person.active(month.ago) {
        return Ok(());
    }
    // How a business sells does not change from month to month.
    let mut nature = world.rng(Stream::Sales, person.number, 1_000_000);
    let (size, unsteady) = (120.0 * (0.3 * person.worth + 0.8 * normal(&mut nature)).exp(), 0.1 + 0.2 * nature.f64());
    let care = 0.5 * person.worth + 0.7 * normal(&mut nature);
    let first = nature.usize(0..CHANNELS.len());
    let channels = 1 + usize::from(nature.f64() < 0.35);
    for n in 0..channels {
        let at = (first + n) % CHANNELS.len();
        let mut rng = world.rng(Stream::Sales, person.number, u64::from(month.ago) * 8 + n as u64);
        let short = if person.distressed(month.ago) { 0.6 } else { 1.0 };
        let share = if n == 0 { 1.0 } else { 0.4 };
        let mean = size * share * short * (unsteady * normal(&mut rng)).exp();
        let orders = poisson(&mut rng, mean.min(400.0));
        let order = person.order_size * (0.1 * normal(&mut rng)).exp();
        let (returned, complaints) = (0.06 * (-0.4 * care).exp(), 0.008 * (-0.6 * care).exp());
        let few = |rng: &mut fastrand::Rng, share: f64| poisson(rng, f64::from(orders) * share.min(0.9)).min(orders);
        let (returned, complaints) = (few(&mut rng, returned), few(&mut rng, complaints));
        let rating = (0.9 + 0.04 * care + 0.02 * normal(&mut rng)).clamp(0.2, 1.0);
        let rated = orders > 0 && rng.f64() < 0.95;
        let count = |count: u32| i32::try_from(count).ok();
        let seen = known(&mut rng, month.last);
        row!(
            file,
            Long Some(signed(person.number * 4_096 + u64::from(month.ago) * 8 + n as u64)), Text Some(id.to_owned()),
            Date Some(month.last), Word Some(CHANNELS[at]), Int count(orders), Long Some(minor(f64::from(orders) * order)),
            Int count(returned), Int count(complaints), Share rated.then(|| (rating * 1_000.0).round() / 1_000.0),
            Word Some("CNY"), Instant Some(seen), Word Some("platform"),
        )?;
    }
    Ok(())
}
