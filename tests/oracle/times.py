"""Days, months and instants: day numbers since 1970-01-01, instants in nanoseconds since then, all in UTC."""

import calendar
import datetime
from dataclasses import dataclass
from functools import cache

EPOCH = datetime.date(1970, 1, 1).toordinal()
NANOSECONDS_OF_DAY = 86_400 * 10**9
MICROSECOND = 1_000


def day_number(date):
    """Days since 1970-01-01."""
    return date.toordinal() - EPOCH


def date_of(day):
    """The date of a day number."""
    return datetime.date.fromordinal(day + EPOCH)


def last_instant(day):
    """A date's last microsecond."""
    return (day + 1) * NANOSECONDS_OF_DAY - MICROSECOND


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
    """

    as_of: int
    known_by: int

    @classmethod
    def at(cls, as_of, known_by=None):
        """The cut of an as-of date and, if one is given, a knowledge cut-off (an aware datetime)."""
        day = day_number(as_of)
        if known_by is None:
            return cls(day, (day + 1) * NANOSECONDS_OF_DAY)
        since = known_by - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return cls(day, (since // datetime.timedelta(microseconds=1)) * MICROSECOND)

    @property
    def end(self):
        """Day number of D + 1 day."""
        return self.as_of + 1

    @property
    def instant(self):
        """C = D + 1 day 00:00 in nanoseconds."""
        return self.end * NANOSECONDS_OF_DAY

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
