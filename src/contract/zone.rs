//! The time zone in which days begin and end.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize;

use super::{DAY_MICROS, day_number};
use crate::expression::did_you_mean;

/// Microseconds in an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// The zone of who names none.
const UTC: &str = "UTC";

/// Years of the calendar whose clock changes are looked up; before and after, the first and the last offset hold.
const YEARS: (i16, i16) = (1890, 2210);

/// A time zone: how far its clocks are ahead of UTC, from each of their changes on.
///
/// The rules are those the program carries, not those of the machine: the same program gives the same days everywhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone {
    name: Arc<str>,
    changes: Arc<[Change]>,
}

/// From an instant on, clocks are ahead of UTC by so much, both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    from: i64,
    ahead: i64,
}

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: UTC.into(), changes: [Change { from: i64::MIN, ahead: 0 }].into() }
    }

    /// The zone of a name such as `Asia/Shanghai`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self> {
        if name.eq_ignore_ascii_case(UTC) {
            return Ok(Self::utc());
        }
        let known = TimeZoneDatabase::bundled();
        let zone = known.get(name).map_err(|_| {
            let names: Vec<String> = known.available().map(|n| n.to_string()).collect();
            let hint = did_you_mean(name, names.iter().map(String::as_str));
            anyhow!(
                "'{name}' is no time zone{hint}; write a name such as \"Asia/Shanghai\", \"Europe/Berlin\" or \"UTC\""
            )
        })?;
        let at = |year: i16| -> Result<Timestamp> { Ok(Date::new(year, 1, 1)?.to_zoned(TimeZone::UTC)?.timestamp()) };
        let (first, last) = (at(YEARS.0)?, at(YEARS.1)?);
        let ahead = |seconds: i32| i64::from(seconds) * 1_000_000;
        let mut changes = vec![Change { from: i64::MIN, ahead: ahead(zone.to_offset(first).seconds()) }];
        for change in zone.following(first).take_while(|c| c.timestamp() < last) {
            let next = Change { from: change.timestamp().as_microsecond(), ahead: ahead(change.offset().seconds()) };
            if changes.last().is_none_or(|last| last.ahead != next.ahead) {
                changes.push(next);
            }
        }
        Ok(Self { name: zone.iana_name().unwrap_or(name).into(), changes: changes.into() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name and all its changes of clocks, as text.
    #[must_use]
    pub fn meaning(&self) -> String {
        let changes: Vec<String> = self.changes.iter().map(|c| format!("{}:{}", c.from, c.ahead)).collect();
        format!("{} {}", self.name, changes.join(" "))
    }

    /// What clocks show at an instant: microseconds since 1970-01-01 00:00 on them.
    #[must_use]
    pub fn clock(&self, instant: i64) -> i64 {
        let ahead = match &*self.changes {
            [always] => always.ahead,
            changes => changes[changes.partition_point(|c| c.from <= instant).saturating_sub(1)].ahead,
        };
        instant.saturating_add(ahead)
    }

    /// The day number of an instant.
    #[must_use]
    pub fn day(&self, instant: i64) -> i64 {
        self.clock(instant).div_euclid(DAY_MICROS)
    }

    /// The hour of an instant, 0 to 23.
    #[must_use]
    pub fn hour(&self, instant: i64) -> i64 {
        self.clock(instant).rem_euclid(DAY_MICROS) / HOUR_MICROS
    }

    /// The first instant of a day: midnight, or where clocks skip it, what comes after.
    #[must_use]
    pub fn start(&self, day: i64) -> i64 {
        let midnight = day.saturating_mul(DAY_MICROS);
        // No clock is two days off; from there on, the first stretch of one offset whose clocks go beyond midnight.
        let mut at = self.changes.partition_point(|c| c.from <= midnight - 2 * DAY_MICROS).saturating_sub(1);
        while self.changes.get(at + 1).is_some_and(|next| next.from + self.changes[at].ahead <= midnight) {
            at += 1;
        }
        (midnight - self.changes[at].ahead).max(self.changes[at].from)
    }

    /// The instant at which clocks show a time. One that they show twice is the later; one that they skip is as much later as
    /// they are put forward.
    #[must_use]
    pub fn instant(&self, clock: i64) -> i64 {
        let shown = |c: &Change| c.from.saturating_add(c.ahead) <= clock;
        let at = self.changes.partition_point(shown).saturating_sub(1);
        clock.saturating_sub(self.changes[at].ahead)
    }

    /// Today.
    ///
    /// # Errors
    /// When the machine's clock is outside the calendar.
    pub fn today(&self) -> Result<Date> {
        let day = self.day(Timestamp::now().as_microsecond());
        Ok(jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day)?)?)
    }

    /// The first instant after a day.
    ///
    /// # Errors
    /// When the day is outside the calendar.
    pub fn end_of(&self, day: Date) -> Result<i64> {
        Ok(self.start(day_number(day)? + 1))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).map_err(|e| e.to_string())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::day_text;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn days_begin_at_local_midnight() {
        let zone = Zone::named("asia/shanghai").unwrap();
        assert_eq!(zone.name(), "Asia/Shanghai");
        let midnight = micros("2025-10-31T16:00:00Z");
        assert_eq!(
            (day_text(zone.day(midnight - 1)), day_text(zone.day(midnight))),
            ("2025-10-31".into(), "2025-11-01".into())
        );
        assert_eq!(zone.start(zone.day(midnight)), midnight);
        assert_eq!((zone.hour(midnight - 1), zone.hour(midnight)), (23, 0));
    }

    #[test]
    fn a_day_has_23_or_25_hours_where_clocks_change() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let length = |day: &str| {
            let day = day_number(day.parse().unwrap()).unwrap();
            (zone.start(day + 1) - zone.start(day)) / HOUR_MICROS
        };
        assert_eq!((length("2025-03-30"), length("2025-10-26"), length("2025-06-01")), (23, 25, 24));
        // The rules go on beyond the last change that is written down.
        assert_eq!((length("2150-03-29"), length("2150-10-25")), (23, 25));
        // Two o'clock is skipped in spring; half past two in autumn is there twice.
        let clock = |text: &str| micros(&format!("{text}Z"));
        assert_eq!(zone.instant(clock("2025-03-30T02:30:00")), micros("2025-03-30T01:30:00Z"));
        assert_eq!(zone.instant(clock("2025-10-26T02:30:00")), micros("2025-10-26T01:30:00Z"));
        assert_eq!(zone.instant(clock("2025-07-01T12:00:00")), micros("2025-07-01T10:00:00Z"));
        assert_eq!(zone.clock(micros("2025-10-26T00:30:00Z")), zone.clock(micros("2025-10-26T01:30:00Z")));
    }

    #[test]
    fn a_midnight_that_clocks_skip_is_the_instant_after() {
        // Beirut put its clocks forward at midnight: 2021-03-28 began at one o'clock.
        let zone = Zone::named("Asia/Beirut").unwrap();
        let day = day_number("2021-03-28".parse().unwrap()).unwrap();
        assert_eq!(zone.start(day), micros("2021-03-27T22:00:00Z"));
        assert_eq!((zone.day(zone.start(day) - 1), zone.day(zone.start(day))), (day - 1, day));
        assert_eq!(zone.hour(zone.start(day)), 1);
    }

    #[test]
    fn every_day_of_every_zone_begins_where_the_one_before_it_ends() {
        let known = TimeZoneDatabase::bundled();
        for name in known.available() {
            let zone = Zone::named(name.as_str()).unwrap();
            let of = TimeZoneDatabase::bundled().get(name.as_str()).unwrap();
            for day in (-25_000..30_000).step_by(997) {
                let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
                let begins = of.to_ambiguous_zoned(date.at(0, 0, 0, 0)).compatible().unwrap().timestamp();
                assert_eq!(zone.start(day), begins.as_microsecond(), "{date} in {name}");
                assert!(zone.day(zone.start(day) - 1) < day, "{date} in {name}");
            }
        }
    }

    #[test]
    fn a_zone_that_is_none_is_told() {
        let error = Zone::named("Asia/Shangai").unwrap_err().to_string();
        assert!(error.contains("did you mean `Asia/Shanghai`"), "{error}");
        assert_eq!(Zone::named("utc").unwrap(), Zone::utc());
    }
}
