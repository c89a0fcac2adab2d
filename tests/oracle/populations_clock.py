"""Times on the boundaries of a random case: its zone, its cut-offs, and days and instants on or around what they decide."""

import datetime
import random
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from times import MICROSECOND, NANOSECONDS_OF_DAY, Zone, day_number, months_before

AS_OF = [
    "2025-10-31", "2025-10-30", "2025-02-28", "2025-02-27", "2024-02-29", "2024-02-28",
    "2025-03-30", "2025-03-29", "2024-12-31", "2025-01-30", "2025-06-15", "2024-08-31",
]  # fmt: skip
# Days of which some end with, or just before, a change of the clocks. At the end of 1985-12-31 in Kathmandu and of
# 2025-09-06 in Santiago they skip midnight; at the end of 2010-11-06 in St John's they show it twice.
ZONES = {
    "Europe/Berlin": ["2025-03-29", "2025-03-30", "2025-10-25", "2025-10-26", "2024-10-27"],
    "America/New_York": ["2025-03-08", "2025-03-09", "2024-11-02", "2024-11-03", "2025-11-02"],
    "Asia/Shanghai": ["1991-04-13", "1991-04-14", "1991-09-14", "1991-09-15"],
    "Asia/Kathmandu": ["1985-12-31", "1985-12-31", "1986-01-01", "1987-12-31"],
    "America/St_Johns": ["2010-11-06", "2010-11-06", "2010-11-07", "2011-03-12", "2011-03-13", "2025-11-01"],
    "America/Santiago": ["2025-09-06", "2025-09-06", "2025-09-07", "2025-04-05", "2025-04-06"],
}
WINDOWS = [1, 3, 6, 12, 24]
MONTH = 31
FIRST_DATE, LAST_DATE = (day_number(datetime.date(*date)) for date in ((1900, 1, 1), (2199, 12, 31)))


@dataclass
class Clock:
    """The zone and the cut-offs of a case, and random times around them."""

    random: random.Random
    zone: Zone
    as_of: int
    known_by: int

    @property
    def end(self):
        return self.as_of + 1

    @property
    def cut(self):
        return self.first(self.end)

    def first(self, day):
        """A day's first instant."""
        return self.zone.first_instant(day)

    def last(self, day):
        """A day's last microsecond."""
        return self.zone.last_instant(day)

    def day(self):
        """A day of the last 26 months, often the first or the last before a window, sometimes after the cut-off."""
        kind = self.random.random()
        if kind < 0.55:
            return self.as_of - self.random.randrange(0, 790)
        if kind < 0.75:
            return months_before(self.end, self.random.choice(WINDOWS)) + self.random.choice([-1, 0, 1])
        if kind < 0.85:
            return self.end - self.random.choice([7, 30, 90, 182]) + self.random.choice([-1, 0, 1])
        if kind < 0.95:
            return self.as_of - self.random.choice([0, 0, 1, 2])
        return self.end + self.random.choice([0, 0, 1, 30])

    def old_day(self):
        """A day up to eleven years ago, often whole months before the cut-off."""
        if self.random.random() < 0.5:
            months = self.random.choice([0, 1, 5, 6, 11, 12, 23, 24, 35, 36, 59, 60, 119, 120, 121])
            return months_before(self.end, months) + self.random.choice([-1, 0, 1])
        return self.as_of - self.random.randrange(0, 4000)

    def instant(self):
        """An instant of such a day, often its first or last, or one around a cut-off or a change of the clocks."""
        kind = self.random.random()
        if kind < 0.12:
            return self.edge()
        if kind < 0.2:
            return self.change()
        day = self.day()
        start = day * NANOSECONDS_OF_DAY if kind < 0.25 else self.first(day)
        return start + self.random.choice([*self.steps(), self.random.randrange(NANOSECONDS_OF_DAY)])

    def edge(self):
        """One of the cut-offs, or a little before or after it."""
        steps = [*self.steps(), 10**6, -(10**6), 10**9, -(10**9)]
        return self.random.choice([self.cut, self.known_by]) + self.random.choice(steps)

    def change(self):
        """A change of the clocks, or minutes or an hour before or after it; where there is none, a full hour."""
        found = changes(self.zone, self.as_of - 26 * MONTH, self.end + MONTH)
        hour = 3600 * 10**9
        at = self.random.choice(found) if found else self.first(self.day()) + self.random.randrange(24) * hour
        away = self.random.choice([0, 0, hour, -hour, hour // 2, -hour // 2, 60 * 10**9, 23 * hour, -24 * hour])
        return at + away + self.random.choice(self.steps())

    def implausible(self):
        """An instant around the first or after the last that is plausible."""
        at = self.random.choice([self.first(FIRST_DATE), self.first(FIRST_DATE), self.first(LAST_DATE + 1)])
        return at + self.random.choice(self.steps())

    def steps(self):
        return [0, 1, -1, MICROSECOND, -MICROSECOND]

    def known(self, event):
        """When a row became known: null, soon after its event (an instant), or around a cut-off."""
        kind = self.random.random()
        if kind < 0.35:
            return None
        if kind < 0.9:
            return event + self.random.choice([0, MICROSECOND, 3600 * 10**9, NANOSECONDS_OF_DAY, 40 * NANOSECONDS_OF_DAY])
        return self.edge()


@cache
def changes(zone, first, last):
    """The instants of some days at which the clocks are changed."""
    found = []
    for day in range(first, last):
        start, end = zone.first_instant(day), zone.first_instant(day + 1)
        before = _offset(zone, start)
        if _offset(zone, end) != before:
            found.append(start + bisect_left(range(start, end), True, key=lambda at: _offset(zone, at) != before))
    return found


def _offset(zone, instant):
    return zone.clock(instant).utcoffset()


def random_clock(chance):
    """A clock, its as-of date, and the knowledge cut-off as the command line takes it, or None."""
    zone = Zone("UTC" if chance.random() < 0.5 else chance.choice(list(ZONES)))
    as_of = chance.choice(ZONES.get(zone.name, AS_OF) if chance.random() < 0.6 else AS_OF)
    day = day_number(datetime.date.fromisoformat(as_of))
    kind = chance.random()
    if kind < 0.6:
        return Clock(chance, zone, day, zone.first_instant(day + 1)), as_of, None
    days = chance.choice([-60, -20, -1, 0, 1, 30])
    if kind < 0.75:
        date = datetime.date.fromisoformat(as_of) + datetime.timedelta(days)
        return Clock(chance, zone, day, zone.first_instant(day + days + 1)), as_of, date.isoformat()
    known_by = zone.first_instant(day + 1 + days) + chance.choice([-MICROSECOND, 0, 0, MICROSECOND, -3600 * 10**9])
    return Clock(chance, zone, day, known_by), as_of, rfc3339(known_by, zone if chance.random() < 0.5 else Zone())


def rfc3339(instant, zone):
    """An instant as text with microseconds, as clocks of the zone show it."""
    return zone.clock(instant).isoformat()
