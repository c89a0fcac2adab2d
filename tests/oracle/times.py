"""Days, months and instants: day numbers since 1970-01-01, instants in nanoseconds since then.

An instant belongs to the day that clocks of the pipeline's time zone show. A day begins with its first instant: local
midnight, or where clocks skip it the instant after the gap.
"""

import calendar
import datetime
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

EPOCH = datetime.date(1970, 1, 1).toordinal()
UNIX = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NANOSECONDS_OF_DAY = 86_400 * 10**9
MICROSECOND = 1_000


def day_number(date):
    """Days since 1970-01-01."""
    return date.toordinal() - EPOCH


def date_of(day):
    """The date of a day number."""
    return datetime.date.fromordinal(day + EPOCH)


def instant_of(moment):
    """An aware datetime in nanoseconds."""
    return (moment - UNIX) // datetime.timedelta(microseconds=1) * MICROSECOND


@dataclass(frozen=True)
class Zone:
    """A time zone by its name, such as Europe/Berlin."""

    name: str = "UTC"

    def clock(self, instant):
        """What clocks show, to the microsecond."""
        return (UNIX + datetime.timedelta(microseconds=instant // MICROSECOND)).astimezone(ZoneInfo(self.name))

    def day_of(self, instant):
        """The day that clocks show."""
        return day_number(self.clock(instant))

    def first_instant(self, day):
        """When a day begins; one that clocks skip as a whole, when the next one does."""
        return _first_instant(self, day)

    def last_instant(self, day):
        """A day's last microsecond: the one before the next day."""
        return self.first_instant(day + 1) - MICROSECOND


@cache
def _first_instant(zone, day):
    """Midnight, the first where there are two; one in a gap is read by the clock before it: the instant after the gap.

    Where the gap lies across midnight that is too late, and the day began at some instant before.
    """
    midnight = instant_of(datetime.datetime.combine(date_of(day), datetime.time(), ZoneInfo(zone.name)))
    if zone.day_of(midnight - MICROSECOND) < day:
        return midnight
    earlier = midnight - NANOSECONDS_OF_DAY
    return earlier + bisect_left(range(earlier, midnight), day, key=zone.day_of)


@cache
def months_before(day, months):
    """The day so many months earlier; a day of the month that is not there becomes the month's last."""
    date = date_of(day)
    index = date.year * 12 + date.month - 1 - months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return day_number(datetime.date(year, month + 1, min(date.day, last)))


@cache
def months_back(day, end):
    """m such that the day lies in [end - (m + 1) months, end - m months)."""
    date, last = date_of(day), date_of(end)
    months = max((last.year - date.year) * 12 + last.month - date.month - 1, 0)
    while day < months_before(end, months + 1):
        months += 1
    return months


@dataclass(frozen=True)
class Cut:
    """What a run may see: events before the end of the as-of date that were known by the knowledge cut-off.

    as_of    day number of the as-of date D
    known_by the knowledge cut-off K in nanoseconds; C where the run names none
    zone     whose days these are
    """

    as_of: int
    known_by: int
    zone: Zone

    @classmethod
    def at(cls, as_of, known_by=None, zone=Zone()):
        """The cut of an as-of date and, if one is given, a knowledge cut-off: an aware datetime, or a date for its end."""
        if isinstance(known_by, datetime.datetime):
            return cls(day_number(as_of), instant_of(known_by), zone)
        return cls(day_number(as_of), zone.first_instant(day_number(known_by or as_of) + 1), zone)

    @property
    def end(self):
        """Day number of D + 1 day."""
        return self.as_of + 1

    @property
    def instant(self):
        """C = the first instant of D + 1 day in nanoseconds."""
        return self.zone.first_instant(self.end)

    def has_seen(self, instant):
        """Whether something that happened then had happened before C and by K."""
        return instant < self.instant and instant <= self.known_by

    def months_ago(self, day):
        """Whole months back from the end of the as-of date; 0 is the latest month."""
        return months_back(day, self.end)

    def weeks_ago(self, day):
        """w such that the day lies in [end - 7 (w + 1), end - 7 w)."""
        return (self.end - 1 - day) // 7

    def window_start(self, window):
        """First day of a window such as "12 months", "90 days" or "26 weeks": end - w."""
        number, unit = window.split()
        if unit.startswith("month"):
            return months_before(self.end, int(number))
        return self.end - int(number) * {"day": 1, "week": 7}[unit.rstrip("s")]
