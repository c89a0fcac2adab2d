"""What becomes of every row: not visible, quarantined, duplicate, superseded, disputed out, without consent or used.

A row falls into the first class that applies, visibility first (the conservation law). Each step below
takes the rows the earlier steps left and writes the fate of those it takes out.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from times import day_number

RECORDS = ["repayments", "utility_payments", "purchases", "sales", "public_records"]
RESETS = {"null": None, "0": 0}
ALWAYS = float("-inf")


@dataclass
class Tie:
    """Two subjects tied: interactions are null where no row of the pair tells of one.

    `row` stands for the pair, the others are `merged` with it.
    """

    ends: tuple
    since: int
    interactions: int | None
    row: object
    merged: list


@dataclass
class Settled:
    """Rows after every step, by subject.

    subjects      the version of each visible subject that counts
    records       by table and subject, the rows that count
    disputed      by table and subject, the rows that an open or upheld dispute takes out
    consents      by purpose, the subjects whose consent is in force
    ties          merged pairs, young ones included
    """

    subjects: dict = field(default_factory=dict)
    records: dict = field(default_factory=dict)
    disputed: dict = field(default_factory=dict)
    consents: dict = field(default_factory=dict)
    ties: list = field(default_factory=list)


class Conflict(Exception):
    """Two versions of a subject, known at the same time, differ: the run stops."""


def settle(contract, exports, cut, currency):
    """Every row of the exports (by table) gets a fate; what counts comes back by subject."""
    settler = _Settler(contract, exports, cut, currency)
    settler.subjects()
    settler.consents()
    settler.disputes()
    for table in RECORDS:
        settler.records(table)
    settler.links()
    return settler.settled


class _Settler:
    def __init__(self, contract, exports, cut, currency):
        self.contract, self.exports, self.cut, self.currency = contract, exports, cut, currency
        self.settled, self.invisible_subjects = Settled(), set()
        self.limits = _limits(contract.limits)
        self.reliability = self._reliability()

    def _reliability(self):
        """Reliability in thousandths by source."""
        rows = self._valid("sources")
        return {row.values["source_id"]: row.values["reliability"] for row in rows}

    def reliability_of(self, row):
        """Reliability of a row's source in thousandths; 1 where nothing is said of it."""
        return self.reliability.get(row.values.get("source_id"), 1000)

    # ------------------------------------------------------------ steps that every table shares

    def _valid(self, name):
        """The visible rows of a table that break no rule, as they read at the cut."""
        table, valid = self.contract.tables[name], []
        for row in self.exports.get(name, []):
            if not self._is_visible(table, row) or self._waits_for_subject(row):
                row.fate = "not_visible"
                continue
            self._read_at_cut(table, row)
            row.broken = self._broken_rule(table, row)
            if row.broken:
                row.fate = "quarantined"
            else:
                _keep_thousandths(table, row)
                valid.append(row)
        return valid

    def _is_visible(self, table, row):
        """Event before C and known by K; what has no known_at was known when it happened."""
        if table.event is None:
            return True
        event = row.values[table.event]
        row.known = row.values.get("known_at")
        if row.known is None:
            row.known = ALWAYS if event is None else self._instant(table, table.event, event)
        if event is not None and self._start(table, table.event, event) >= self.cut.instant:
            return False
        return row.known <= self.cut.known_by

    def _instant(self, table, column, value):
        """A time column's value as an instant; a date is its last microsecond."""
        return self.cut.zone.last_instant(value) if table.columns[column]["type"] == "date" else value

    def _start(self, table, column, value):
        return self.cut.zone.first_instant(value) if table.columns[column]["type"] == "date" else value

    def _waits_for_subject(self, row):
        """Whether the row's subject, or an end of the link, has no version that counts yet but will have one."""
        return any(row.values.get(name) in self.invisible_subjects for name in ("subject_id", "subject_a", "subject_b"))

    def _read_at_cut(self, table, row):
        """Later dates read as null, and what they stood for goes back to what the contract says."""
        for name, column in table.columns.items():
            if column["type"] not in ("date", "instant") or column.get("future") or name in (table.event, "known_at"):
                continue
            value = row.values[name]
            if value is not None and not self.cut.has_seen(self._instant(table, name, value)):
                row.values[name] = None
                for other, text in column.get("reset", {}).items():
                    row.values[other] = RESETS.get(text, text)

    def _broken_rule(self, table, row):
        """The first rule a row breaks and the column, in the order of the contract."""
        rules = [
            ("pii_suspect", lambda column, value: column["type"] == "id" and isinstance(value, str) and "@" in value),
            ("null_value", lambda column, value: column.get("required") and value is None),
            ("unknown_subject", lambda column, value: self._is_unknown(table, column, value)),
            ("negative_amount", lambda column, value: _is_negative(column, value)),
            ("out_of_range", lambda column, value: _is_out_of_range(column, value, self.limits)),
            ("amount_too_large", lambda column, value: _is_money(column, value) and abs(value) > self.limits["amount"]),
            ("fractional_amount", lambda column, value: isinstance(value, Decimal)),
            ("foreign_currency", lambda column, value: _is(column, value, "currency") and value != self.currency),
            ("unknown_choice", lambda column, value: _is(column, value, "choice") and value not in column["values"]),
            ("implausible_date", lambda column, value: _is_implausible(column, value, self.limits, self.cut.zone)),
            ("end_before_start", lambda column, value: _is_before_start(column, value, row)),
        ]
        for rule, breaks in rules:
            for name, column in table.columns.items():
                if breaks(column, row.values[name]):
                    return rule, name
        return None

    def _is_unknown(self, table, column, value):
        """Whether a row names a subject that is not there; a link to one is dropped instead."""
        names_subject = column["name"] == "subject_id" and table.name != "subjects"
        return names_subject and value is not None and value not in self.settled.subjects

    def _versions(self, table, rows):
        """One row per key: the newest version, of equal ones that of the most reliable source.

        Where newest versions differ, all rows of the record are quarantined.
        """
        by_key, kept = defaultdict(list), []
        for row in rows:
            by_key[tuple(row.values[name] for name in table.key)].append(row)
        for versions in by_key.values():
            newest = max(row.known for row in versions)
            tied = [row for row in versions if row.known == newest]
            if len({row_content(table, row) for row in tied}) > 1:
                for row in versions:
                    row.fate, row.broken = "quarantined", ("conflicting_versions", table.key[-1])
                continue
            chosen = max(tied, key=self.reliability_of)
            kept.append(chosen)
            for row in versions:
                if row is not chosen:
                    row.fate = "duplicate" if row_content(table, row) == row_content(table, chosen) else "superseded"
        return kept

    # ------------------------------------------------------------ table by table

    def subjects(self):
        """The latest visible version of each subject; a tie with different content stops the run."""
        table = self.contract.tables["subjects"]
        kept = self._versions(table, self._valid("subjects"))
        conflict = next(
            (row for row in self.exports["subjects"] if row.broken == ("conflicting_versions", "subject_id")), None
        )
        if conflict:
            raise Conflict(f"{conflict.file}, row {conflict.number}")
        self.settled.subjects = {row.values["subject_id"]: row for row in kept}
        waiting = {row.values["subject_id"] for row in self.exports["subjects"] if row.fate == "not_visible"}
        self.invisible_subjects = waiting - set(self.settled.subjects) - {None}

    def consents(self):
        """Consents in force: granted_at < C <= min(revoked_at, expires_at).

        Rows of one grant (same subject, purpose, partner and granted_at) are one: withdrawn where any of them is.
        """
        purposes = ["score", "network"]
        if "consents" not in self.exports:
            self.settled.consents = {purpose: set(self.settled.subjects) for purpose in purposes}
            return
        grants = defaultdict(list)
        for row in self._valid("consents"):
            values = row.values
            grants[values["subject_id"], values["purpose"], values["partner_id"], values["granted_at"]].append(values)
        self.settled.consents = {purpose: set() for purpose in purposes}
        for (subject, purpose, _, _), rows in grants.items():
            revoked = any(row["revoked_at"] is not None for row in rows)
            lasting = any(row["expires_at"] is None or row["expires_at"] >= self.cut.instant for row in rows)
            if purpose in purposes and lasting and not revoked:
                self.settled.consents[purpose].add(subject)

    def disputes(self):
        """The newest versions of the disputes that are open or upheld; one without a subject is about every subject's."""
        kept = self._versions(self.contract.tables["disputes"], self._valid("disputes"))
        self.contested = [row.values for row in kept if row.values["state"] in ("open", "upheld")]

    def records(self, name):
        """The rows of a table that count, by subject, and those that disputes take out."""
        table = self.contract.tables[name]
        kept = self._versions(table, self._valid(name))
        if name == "purchases":
            kept = _without_excess_refunds(kept)
        disputed = {(row["subject_id"], row["record_id"]) for row in self.contested if row["table"] == name}
        used, out = defaultdict(list), defaultdict(list)
        for row in kept:
            subject, record = row.values["subject_id"], row.values["record_id"]
            row.reliability = self.reliability_of(row)
            if (subject, record) in disputed or (None, record) in disputed:
                row.fate = "disputed_out"
                out[subject].append(row)
            elif subject not in self.settled.consents["score"]:
                row.fate = "without_consent"
            else:
                used[subject].append(row)
        self.settled.records[name], self.settled.disputed[name] = used, out

    def links(self):
        """Ties: rows that are none are dropped one by one, the rest of a pair is merged.

        Merged are the largest interactions, where null is more than 0 and less than 1, and the earliest `since`.
        """
        pairs = defaultdict(list)
        for row in self._valid("friend_links"):
            row.dropped = self._why_no_tie(row.values)
            if row.dropped:
                row.fate = "dropped"
            else:
                pairs[frozenset((row.values["subject_a"], row.values["subject_b"]))].append(row)
        for pair, rows in sorted(pairs.items(), key=lambda item: sorted(item[0])):
            for row in rows[1:]:
                row.fate = "merged"
            told = [row.values["interactions_90d"] for row in rows]
            largest = max(told, key=lambda value: 0.5 if value is None else value)
            since = min(row.values["since"] for row in rows)
            self.settled.ties.append(Tie(tuple(sorted(pair)), since, largest, rows[0], rows[1:]))

    def _why_no_tie(self, values):
        ends = (values["subject_a"], values["subject_b"])
        if any(end not in self.settled.subjects for end in ends):
            return "unknown_subject"
        if ends[0] == ends[1]:
            return "self_link"
        if any(end not in self.settled.consents["network"] for end in ends):
            return "no_consent"
        return "ended" if values["until"] is not None else None


def _keep_thousandths(table, row):
    """Shares are kept in whole thousandths."""
    for name, column in table.columns.items():
        if _is(column, row.values[name], "share"):
            row.values[name] = thousandths(row.values[name])


def thousandths(share):
    """A share in whole thousandths: a thousand times it as a double, half to even."""
    return round(1000.0 * share)


def _without_excess_refunds(rows):
    """Purchases without the refunds of an order that add up to more than it."""
    orders = {(row.values["subject_id"], row.values["record_id"]): row.values["amount_minor"] for row in rows}
    refunds = defaultdict(list)
    for row in rows:
        refunds[row.values["subject_id"], row.values["refund_of"]].append(row)
    for order, amount in orders.items():
        if sum(row.values["amount_minor"] for row in refunds[order]) > amount:
            for row in refunds[order]:
                row.fate, row.broken = "quarantined", ("refund_above_original", "refund_of")
    return [row for row in rows if row.fate == "used"]


def row_content(table, row):
    """What tells versions of a record apart: all of the contract's columns but when and from where it is known."""
    return tuple(row.values[name] for name in table.columns if name not in ("known_at", "source_id"))


def _limits(limits):
    """The contract's limits with its dates as day numbers."""
    return limits | {name: day_number(date.fromisoformat(limits[name])) for name in ("first_date", "last_date")}


def _is(column, value, kind):
    return column["type"] == kind and value is not None


def _is_money(column, value):
    return _is(column, value, "money")


def _is_negative(column, value):
    unsigned = column["type"] == "count" or (column["type"] == "money" and not column.get("signed"))
    return unsigned and not isinstance(value, Decimal) and value is not None and value < 0


def _is_out_of_range(column, value, limits):
    if _is(column, value, "share"):
        return not 0 <= value <= 1
    if _is(column, value, "count"):
        return value > column.get("max", limits["count"])
    in_form = _is_money(column, value) and not isinstance(value, Decimal)
    return in_form and "min" in column and value < column["min"]


def _is_implausible(column, value, limits, zone):
    if _is(column, value, "instant"):
        value = zone.day_of(value)
    elif not _is(column, value, "date"):
        return False
    return not limits["first_date"] <= value <= limits["last_date"]


def _is_before_start(column, value, row):
    start = row.values.get(column.get("not_before"))
    return value is not None and start is not None and value < start
