"""A second implementation of the score, written from the documents alone: slow, exact, and meant to be read.

    python tests/oracle/oracle.py pipelines/nightly.toml --as-of 2025-10-31 [--known-by INSTANT_OR_DATE] [--subject ID]

prints one line per subject. `compare.py` holds it against what the program publishes.

The way of the data: exports.py reads rows, settle.py says which count, features.py makes values of them, friends.py adds
those of the friends, scorecard.py turns values into points.
"""

import argparse
import datetime
import tomllib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from exports import Contract, read
from expression import parse
from features import UNKNOWN, Feature, Reader, is_missing
from friends import SHARE, Graph, Member, neutral_values
from scorecard import REASONS, RELATIONSHIPS, WHOLE, Model
from settle import RECORDS, settle
from times import Cut, Zone

NO_DAY = float("-inf")
UNSCORED_TABLES = ("outcomes", "groups")


@dataclass
class Subject:
    """One row of the result, and what it came from.

    views      rows as feature SQL sees them, by table; `disputed_views` with the records that disputes take out
    values     every feature
    shares     the share of every scored feature's bin
    row        the columns of scores.parquet
    pool       what its friends say, if enough of them count
    """

    identity: object
    views: dict
    disputed_views: dict
    disputed: int
    used: int
    values: dict = field(default_factory=dict)
    shares: dict = field(default_factory=dict)
    segment: str = ""
    confidence: int = 0
    status: dict = field(default_factory=dict)
    pool: object = None
    row: dict = field(default_factory=dict)

    @property
    def is_scored(self):
        return self.status.get("scored", False)


@dataclass
class Result:
    """Everything a run says: subjects in the order of the table, exports with the fate of every row, the graph."""

    subjects: list
    exports: dict
    model: Model
    graph: Graph
    baselines: dict


class Run:
    """One as-of date of one pipeline."""

    def __init__(self, pipeline, as_of, known_by=None, model=None):
        """`pipeline` is the path of its file; `known_by` an aware datetime or a date; `model` a path instead of the
        pipeline's.
        """
        pipeline = Path(pipeline)
        with open(pipeline, "rb") as file:
            text = tomllib.load(file)
        self.contract, self.cut = Contract.load(), Cut.at(as_of, known_by, Zone(text.get("time_zone", "UTC")))
        self.currency = text["currency"]
        self.model = Model(model or pipeline.parent / text["model"], self.currency)
        self.exports = {
            name: read(self.contract.tables[name], pipeline.parent / place)
            for name, place in text["inputs"].items()
            if name not in UNSCORED_TABLES
        }
        self.reader = Reader(self.contract, self.cut)
        self.features = [Feature(one, self.cut) for one in self.model.catalogue if one["category"] != RELATIONSHIPS]
        self.first_days = {table: self._first_day(table) for table in RECORDS}

    def result(self):
        """The whole run."""
        self.settled = settle(self.contract, self.exports, self.cut, self.currency)
        subjects = [self._subject(identity) for identity in sorted(self.settled.subjects)]
        for subject in subjects:
            self._rate(subject)
        graph = self._befriend(subjects)
        for subject in subjects:
            self._score(subject)
        baselines = self.model.baselines((one.segment, one.row["score"], one.shares) for one in subjects if one.is_scored)
        for subject in subjects:
            self._explain(subject, baselines[subject.segment])
        _rank([one.row for one in subjects])
        self._mark_outside_windows()
        return Result(subjects, self.exports, self.model, graph, baselines)

    def _subject(self, identity):
        """A subject with the views of its rows."""
        own = {"subjects": [self.reader.view("subjects", self.settled.subjects[identity])]}
        views, disputed_views = dict(own), dict(own)
        for table in RECORDS:
            used = [self.reader.view(table, row) for row in self.settled.records[table][identity]]
            out = [self.reader.view(table, row) for row in self.settled.disputed[table][identity]]
            views[table], disputed_views[table] = used, used + out
        consents = identity in self.settled.consents["score"]
        disputed = sum(len(self.settled.disputed[table][identity]) for table in RECORDS) if consents else 0
        used = sum(1 for table in RECORDS for row in views[table] if row["(day)"] >= self.first_days[table])
        return Subject(identity, views, disputed_views, disputed, used)

    def _first_day(self, table):
        """The first day that some feature or policy rule looks at."""
        starts = [self.cut.window_start(window) if window else NO_DAY for window in self._windows(table)]
        return min(starts, default=-NO_DAY)

    def _windows(self, table):
        """The windows of everything that reads a table; None is without end."""
        for feature in self.features:
            if feature.declared.get("source") == table:
                yield feature.declared.get("window")
            yield from (part.window for side in feature.sides for part in side if part.source == table)
        yield from (None for policy, _ in self.model.policies if policy["source"] == table)

    def _mark_outside_windows(self):
        """Rows that count but that nothing looks at."""
        for table in RECORDS:
            for rows in self.settled.records[table].values():
                for row in rows:
                    if self.reader.view(table, row)["(day)"] < self.first_days[table]:
                        row.fate = "outside_windows"

    def _values(self, views):
        """All features but those of friends; one that reads a table the pipeline does not have is unknown."""
        values = {}
        for feature in self.features:
            readable = all(table in self.exports for table in feature.tables())
            applies = feature.applies(views["subjects"][0]) is True
            values[feature.name] = feature.value(views) if readable or not applies else UNKNOWN
        return values

    def _rate(self, subject):
        """Values, segment, confidence and status, and shares without friends."""
        subject.values = self._values(subject.views)
        known = _as_sql(subject)
        subject.segment = self.model.segment(known)
        subject.confidence = self.model.confidence(known, subject.segment)
        known |= {
            "score_consent": subject.identity in self.settled.consents["score"],
            "disputed_records": subject.disputed,
            "used_records": subject.used,
            "confidence": Fraction(subject.confidence, 1000),
        }
        subject.status = self.model.status(known)

    def _befriend(self, subjects):
        """Values of the relationship features, from the graph over all scored subjects."""
        declared = [one for one in self.model.catalogue if one["category"] == RELATIONSHIPS]
        parameters = self.model.propagation
        if not parameters["enabled"]:
            for row in self.exports.get("friend_links", []):
                row.fate, row.dropped = "dropped", "category_off"
            self.settled.ties = []
        graph = Graph(parameters, self._members(subjects, declared), self.settled.ties, self.cut, declared)
        pools = graph.pools()
        for subject in subjects:
            subject.pool = pools.get(subject.identity)
            subject.values |= subject.pool.values if subject.pool else neutral_values(declared)
            if subject.pool:
                name = next(one["name"] for one in declared if one["aggregate"] == "friends_score")
                subject.values[name] = self.model.points_of_share(subject.values[name])
            subject.shares = self.model.shares(subject.values)
        return graph

    def _members(self, subjects, declared):
        """The scored subjects as the graph sees them."""
        verified, in_default = (parse(self.model.propagation[name]) for name in ("verified", "in_default"))
        members = {}
        for subject in subjects:
            if subject.is_scored:
                shares = self.model.shares(subject.values | neutral_values(declared))
                own = self.model.own_share(subject.segment, shares) * SHARE
                known = _as_sql(subject)
                members[subject.identity] = Member(
                    round(own),
                    subject.confidence,
                    verified(known) is True,
                    in_default(known) is True,
                )
        return members

    def _score(self, subject):
        """Score, points, override and disputes."""
        model, row = self.model, subject.row
        row |= {
            "subject_id": subject.identity,
            "segment": subject.segment,
            "status": subject.status["name"],
            "confidence": Fraction(subject.confidence, 1000),
            "disputed_records": subject.disputed,
        }
        row |= dict.fromkeys(["score", "band", "override", "score_before_override", "score_with_disputed"])
        points = model.points(subject.segment, subject.shares) if subject.is_scored else {}
        maxima = model.maxima(subject.segment) if subject.is_scored else {}
        row |= {f"points_{name}": points.get(name) for name in model.categories}
        row |= {f"max_{name}": maxima.get(name) for name in model.categories}
        if not subject.is_scored:
            return
        score = model.score(subject.segment, subject.shares)
        row["score"], policy = model.cap(score, subject.views)
        row["band"] = model.band(row["score"])
        if policy:
            row["override"], row["score_before_override"] = policy["code"], score
        if subject.disputed:
            row["score_with_disputed"] = self._score_with_disputed(subject)

    def _score_with_disputed(self, subject):
        """The score if no record were disputed; segment and friends unchanged."""
        shares = self.model.shares(subject.values | self._values(subject.disputed_views))
        score = self.model.score(subject.segment, shares)
        return self.model.cap(score, subject.disputed_views)[0]

    def _explain(self, subject, baseline):
        """Reasons: that of the status alone, or that of the override and then those of the features."""
        codes, friends = [], None
        if not subject.is_scored:
            codes = [subject.status["reason"]]
        else:
            override = subject.row["override"]
            codes = [policy["reason"] for policy, _ in self.model.policies if policy["code"] == override]
            others = self.model.reasons(subject.segment, subject.shares, baseline, False)
            codes += [code for code in others if code not in codes]
            if subject.pool:
                friends = next(iter(self.model.reasons(subject.segment, subject.shares, baseline, True)), None)
        codes = (codes + [None] * REASONS)[:REASONS]
        subject.row |= {f"reason_{number}": code for number, code in enumerate(codes, 1)}
        subject.row["reason_relationship"] = friends

    def relationships(self, subject):
        """The row of relationships.parquet, or None: friends in steps, points they moved, tenths that are the anchor."""
        if subject.pool is None:
            return None
        weight = self.model.weights_of(subject.segment)[RELATIONSHIPS]
        neutral = self.model.range * weight / 100 * Fraction(self.model.neutral, WHOLE)
        lift = self.model.exact_points(subject.segment, subject.shares)[RELATIONSHIPS] - neutral
        anchor = Fraction(10 * subject.pool.anchor, subject.pool.anchor + subject.pool.evidence)
        return {
            "subject_id": subject.identity,
            "friends": _in_steps(subject.pool.friends, self.model.propagation["friend_steps"]),
            "lift_points": round(lift),
            "anchor_tenths": round(anchor),
        }


def _as_sql(subject):
    """What rules see: the subject's columns and its features, missing ones as NULL."""
    told = {name: None if is_missing(value) else value for name, value in subject.values.items()}
    return subject.views["subjects"][0] | told


def _rank(rows):
    """rank = 1 + number of higher scores; percentile = floor(100 · number lower / number scored)."""
    scores = [row["score"] for row in rows if row["score"] is not None]
    for row in rows:
        row["rank"] = row["percentile"] = None
        if row["score"] is not None:
            row["rank"] = 1 + sum(1 for score in scores if score > row["score"])
            row["percentile"] = 100 * sum(1 for score in scores if score < row["score"]) // len(scores)


def _in_steps(number, steps):
    """A number of friends in coarse steps."""
    below = [step for step in steps if step <= number]
    above = [step for step in steps if step > number]
    if not below:
        return f"fewer than {above[0]}"
    return f"{below[-1]} to {above[0] - 1}" if above else f"{below[-1]} or more"


def cut_off(text):
    """A knowledge cut-off as the command line takes it: an instant of RFC 3339, or a date."""
    return datetime.datetime.fromisoformat(text) if "T" in text else datetime.date.fromisoformat(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--as-of", type=datetime.date.fromisoformat, required=True)
    parser.add_argument("--known-by", type=cut_off)
    parser.add_argument("--model")
    parser.add_argument("--subject", help="print this one alone, with its features")
    arguments = parser.parse_args()
    run = Run(arguments.pipeline, arguments.as_of, arguments.known_by, arguments.model)
    for subject in run.result().subjects:
        if arguments.subject is None:
            print(subject.identity, subject.row["status"], subject.row["score"])
        elif str(subject.identity) == arguments.subject:
            for name, value in (subject.values | subject.row).items():
                print(f"{name:30} {value}")


if __name__ == "__main__":
    main()
