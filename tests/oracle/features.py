"""The catalogue: from the rows that count to one value per feature and subject.

A value is a number, or `NONE` (no opportunity: nothing was due) or `UNKNOWN` (not told). `where` says which rows of
the window are opportunities; of those, rows whose `of` is null are left out of sums, means and shares.

Weights are integers: recency in millionths, w(m) = round(10^6 / 2^(m / half_life)), halves up, for a row m whole months
old, times the reliability of its source in thousandths. So 10^9 is one full row.
"""

import tomllib
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import cache

from expression import parse
from times import date_of

NONE, UNKNOWN = "none", "unknown"
FULL_ROW = 10**9
COUNTS = ("count", "weighted_count", "active_periods", "distinct")


def is_missing(value):
    """Whether a feature has no number."""
    return value in (NONE, UNKNOWN)


def load_catalogue(paths):
    """Declarations in the order of the files, each with its `category`."""
    declarations = []
    for path in paths:
        with open(path, "rb") as file:
            text = tomllib.load(file)
        declarations += [feature | {"category": text["category"]} for feature in text["feature"]]
    return declarations


@cache
def recency(months, half_life):
    """Weight in millionths of a row so many whole months old."""
    if half_life is None:
        return 10**6
    with localcontext() as context:
        context.prec = 50
        weight = Decimal(10**6) * Decimal("0.5") ** (Decimal(months) / int(half_life.split()[0]))
        return int(weight.to_integral_value(ROUND_HALF_UP))


def exact(number):
    """A decimal of a configuration file as the fraction that is written there."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def quotient(above, below):
    """The double nearest to an exact quotient."""
    return float(Fraction(above) / Fraction(below))


class Reader:
    """Rows as feature SQL sees them: every column, and integers in place of times."""

    def __init__(self, contract, cut):
        self.contract, self.cut = contract, cut
        self.derived = {name: self._derived(table) for name, table in contract.tables.items()}

    def _derived(self, table):
        given = [(name, column["derived"]) for name, column in table.columns.items() if "derived" in column]
        given += [(column["name"], column["derived"]) for column in table.computed]
        return [(name, parse(source)) for name, source in given]

    def view(self, name, row):
        """A row's values with what feature SQL sees of times; derived columns where the export leaves them null."""
        table, values = self.contract.tables[name], dict(row.values)
        for column, declared in table.columns.items():
            day = self._day(declared, values[column])
            if "day" in declared:
                values[declared["day"]] = day
            if "months_ago" in declared:
                values[declared["months_ago"]] = None if day is None else self.cut.months_ago(day)
            if "weeks_ago" in declared:
                values[declared["weeks_ago"]] = None if day is None else self.cut.weeks_ago(day)
            if "hour" in declared:
                values[declared["hour"]] = None if day is None else self.cut.zone.clock(values[column]).hour
            if "weekday" in declared:
                values[declared["weekday"]] = None if day is None else date_of(day).isoweekday()
        values["as_of_day"] = self.cut.as_of
        for column, derive in self.derived[name]:
            if values.get(column) is None:
                values[column] = derive(values)
        values |= self._event(table, values)
        values["(reliability)"] = row.reliability
        return values

    def _day(self, declared, value):
        return self.cut.zone.day_of(value) if declared["type"] == "instant" and value is not None else value

    def _event(self, table, values):
        declared = table.columns[table.event]
        names = {"(day)": "day", "month": "months_ago", "week": "weeks_ago"}
        return {name: values[declared[key]] for name, key in names.items() if key in declared}


class Feature:
    """A declaration, ready to be computed from a subject's views by table."""

    def __init__(self, declared, cut):
        self.declared, self.cut = declared, cut
        self.name, self.category, self.aggregate = declared["name"], declared["category"], declared["aggregate"]
        self.where = _condition(declared.get("where"))
        self.of = parse(declared["of"]) if "of" in declared else None
        self.split = _condition(declared.get("split"))
        self.applies = _condition(declared.get("applies"))
        self.prior = exact(declared.get("prior", 0)) * exact(declared.get("prior_strength", 0)) * FULL_ROW
        self.strength = exact(declared.get("prior_strength", 0)) * FULL_ROW
        self.sides = [[_Part(part, cut) for part in declared.get(side, [])] for side in ("numerator", "denominator")]

    def tables(self):
        """The tables of records a feature reads."""
        parts = [part.source for side in self.sides for part in side]
        return [name for name in [self.declared.get("source"), *parts] if name not in (None, "subjects")]

    def value(self, views):
        """The feature of one subject; `views` holds its rows by table, under `subjects` its own one."""
        own = views["subjects"][0]
        if self.applies(own) is not True:
            return NONE
        if self.aggregate == "value":
            return _told(self.of(own))
        if self.aggregate == "ratio":
            return self._ratio(views)
        source, window = self.declared["source"], self.declared.get("window")
        rows = [row for row in _window(views[source], window, self.cut) if self.where(row) is True]
        if self.aggregate in COUNTS:
            return self._count(rows)
        if not rows:
            return NONE
        return getattr(self, "_" + self.aggregate)(rows)

    # ------------------------------------------------------------ counts, which are 0 without rows

    def _count(self, rows):
        if self.aggregate == "count":
            return len(rows)
        if self.aggregate == "weighted_count":
            return Fraction(sum(self._weight(row) for row in rows), FULL_ROW)
        return len({row[self.declared["per"]] for row in rows} - {None})

    # ------------------------------------------------------------ over rows

    def _valued(self, rows):
        """Pairs of row and value, without those whose value is null."""
        pairs = [(row, self.of(row)) for row in rows]
        return [(row, value) for row, value in pairs if value is not None]

    def _weight(self, row):
        return recency(row["month"], self.declared.get("half_life")) * row["(reliability)"]

    def _sum(self, rows):
        values = [value for _, value in self._valued(rows)]
        return sum(values) if values else UNKNOWN

    def _max(self, rows):
        return max((value for _, value in self._valued(rows)), default=UNKNOWN)

    def _min(self, rows):
        return min((value for _, value in self._valued(rows)), default=UNKNOWN)

    def _mean(self, rows):
        values = [value for _, value in self._valued(rows)]
        return quotient(sum(values), len(values)) if values else UNKNOWN

    def _weighted_mean(self, rows):
        """Σ w x / Σ w."""
        valued = self._valued(rows)
        total = sum(self._weight(row) for row, _ in valued)
        return quotient(sum(self._weight(row) * value for row, value in valued), total) if total else UNKNOWN

    def _share(self, rows):
        """(Σ w [of] + prior · strength) / (Σ w + strength)."""
        valued = self._valued(rows)
        if not valued:
            return UNKNOWN
        below = sum(self._weight(row) for row, _ in valued) + self.strength
        above = sum(self._weight(row) for row, holds in valued if holds) + self.prior
        return quotient(above, below) if below else UNKNOWN

    def _months_since_last(self, rows):
        return self._months_since(rows, min)

    def _months_since_first(self, rows):
        return self._months_since(rows, max)

    def _months_since(self, rows, choose):
        """Months since the latest (or earliest) row for which `of` holds; `never` where there were rows but none such."""
        valued = self._valued(rows) if self.of else [(row, True) for row in rows]
        if not valued:
            return UNKNOWN
        months = [row["month"] for row, holds in valued if holds]
        return choose(months) if months else self.declared.get("never", UNKNOWN)

    # ------------------------------------------------------------ over groups of rows

    def _groups(self, rows):
        """Sums of `of` (or numbers of rows) by month, week or id, as a list."""
        sums, per = defaultdict(int), self.declared["per"]
        for row, value in self._valued(rows) if self.of else [(row, 1) for row in rows]:
            if row[per] is not None:
                sums[row[per]] += value
        return list(sums.values())

    def _enough_groups(self, rows):
        """The groups' sums, with a 0 for every empty month or week if it counts; None with fewer than `at_least`."""
        sums = self._groups(rows)
        if len(sums) < self.declared.get("at_least", 0):
            return None
        if self.declared.get("empty_periods"):
            sums += [0] * (int(self.declared["window"].split()[0]) - len(sums))
        return sums

    def _zero_groups(self, rows):
        """Number of groups whose sum of `of` is 0."""
        sums = self._groups(rows)
        return sum(1 for value in sums if value == 0) if sums else UNKNOWN

    def _variation(self, rows):
        """Σ |n x - S| / (n S): mean absolute deviation over the mean."""
        sums = self._enough_groups(rows)
        if not sums:
            return NONE if sums is None else UNKNOWN
        n, total = len(sums), sum(sums)
        if total == 0:
            return UNKNOWN
        return quotient(sum(abs(n * value - total) for value in sums), n * total)

    def _peak(self, rows):
        """max(x) n / S."""
        sums = self._enough_groups(rows)
        if not sums:
            return NONE if sums is None else UNKNOWN
        return quotient(max(sums) * len(sums), sum(sums)) if sum(sums) else UNKNOWN

    def _span(self, rows):
        """Mean over the groups of the largest less the smallest `of`."""
        groups = defaultdict(list)
        for row, value in self._valued(rows):
            if row[self.declared["per"]] is not None:
                groups[row[self.declared["per"]]].append(value)
        if not groups:
            return UNKNOWN
        return quotient(sum(max(values) - min(values) for values in groups.values()), len(groups))

    def _overlap(self, rows):
        """Σ min(a / A, b / B), the groups' shares in the two halves; `NONE` where a half is empty."""
        halves = {True: defaultdict(int), False: defaultdict(int)}
        for row in rows:
            half, group = self.split(row), row[self.declared["per"]]
            if half is not None and group is not None:
                halves[half][group] += 1
        first, second = halves.values()
        whole = sum(first.values()) * sum(second.values())
        if whole == 0:
            return NONE
        common = sum(
            min(first[key] * sum(second.values()), second[key] * sum(first.values())) for key in set(first) & set(second)
        )
        return quotient(common, whole)

    # ------------------------------------------------------------ sums over sums

    def _ratio(self, views):
        """Sums over sums, times `scale`; `scale = "rows"` is the number of rows below the line."""
        above, below = ([part.total(views) for part in side] for side in self.sides)
        if not any(rows for rows, _, _ in above) or not any(rows for rows, _, _ in below):
            return NONE
        if not any(told for _, told, _ in above) or not any(told for _, told, _ in below):
            return UNKNOWN
        scale = self.declared.get("scale", 1)
        if scale == "rows":
            scale = sum(told for _, told, _ in below)
        top, bottom = (sum(total for _, _, total in side) for side in (above, below))
        return UNKNOWN if bottom == 0 else quotient(top * exact(scale), bottom)


class _Part:
    """One sum of a ratio."""

    def __init__(self, declared, cut):
        self.source, self.window, self.cut = declared["source"], declared.get("window"), cut
        self.where, self.of = _condition(declared.get("where")), parse(declared["of"])

    def total(self, views):
        """Number of rows that count, number of those with a value, and the sum of the values."""
        rows = [row for row in _window(views[self.source], self.window, self.cut) if self.where(row) is True]
        values = [value for value in map(self.of, rows) if value is not None]
        return len(rows), len(values), sum(values)


def _condition(source):
    return parse(source) if source else lambda row: True


def _told(value):
    return UNKNOWN if value is None else value


def _window(rows, window, cut):
    """Rows of [D + 1 day - w, D + 1 day); without a window all."""
    if window is None:
        return rows
    start = cut.window_start(window)
    return [row for row in rows if row["(day)"] >= start]
