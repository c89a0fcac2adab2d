"""The model: from feature values to status, points, score, reasons and override.

    score = low + round-half-even(range · Σ_c weight_c · Σ_f importance · share / (1200 · Σ_f importance))

one rounding of an exact fraction, over the features that count in the subject's segment; a category in which none counts is
neutral. Points of categories are shared out by largest remainder, ties in the order of the file.
"""

import tomllib
from bisect import bisect_right
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

from expression import parse
from features import NONE, UNKNOWN, exact, is_missing, load_catalogue

WHOLE = 1200
RELATIONSHIPS = "relationships"
REASONS = 4


class Model:
    """A model file, ready to be asked."""

    def __init__(self, path, currency):
        path = Path(path)
        with open(path, "rb") as file:
            self.text = tomllib.load(file)
        self.catalogue = load_catalogue([path.parent / name for name in self.text["catalogue"]])
        self.low, self.high = self.text["scale"]["low"], self.text["scale"]["high"]
        self.range = self.high - self.low
        self.neutral = self.text["scale"]["neutral_share"]
        self.categories = [category["name"] for category in self.text["category"]]
        declared = {feature["name"]: feature for feature in self.catalogue}
        factor = exact(self.text["money"]["per_unit"][currency])
        self.features = [
            _Scored(feature, declared[feature["name"]], self.neutral, factor) for feature in self.text["feature"]
        ]
        self.propagation = self.text["propagation"]
        self.segments = [(one["name"], _rule(one), self._weights(one["weights"])) for one in self.text["segment"]]
        self.statuses = [(one, _rule(one)) for one in self.text["status"]]
        self.policies = [(one, parse(one["where"])) for one in self.text["policy"]]
        self.evidence = self._evidence()

    def _weights(self, weights):
        """Percent by category; with friends switched off theirs goes to the others as `when_off` says."""
        weights = {name: Fraction(weights[name]) for name in self.categories}
        if not self.propagation["enabled"]:
            free = weights[RELATIONSHIPS]
            for name, percent in self.propagation["when_off"].items():
                weights[name] += free * percent / 100
            weights[RELATIONSHIPS] = Fraction(0)
        return weights

    def _evidence(self):
        """Categories whose evidence makes a score's confidence: name, expression, strength."""
        return [
            (one["name"], parse(one["evidence"]), exact(one["evidence_strength"]))
            for one in self.text["category"]
            if "evidence" in one
        ]

    def of_category(self, name, segment):
        """The scored features of a category that count in a segment."""
        return [feature for feature in self.features if feature.category == name and feature.counts_in(segment)]

    def weights_of(self, segment):
        """Percent by category of a segment."""
        return next(weights for name, _, weights in self.segments if name == segment)

    # ------------------------------------------------------------ who is scored, and how surely

    def segment(self, values):
        """The first segment whose rule holds."""
        return next(name for name, rule, _ in self.segments if rule(values) is True)

    def status(self, values):
        """The first status whose rule holds."""
        return next(one for one, rule in self.statuses if rule(values) is True)

    def confidence(self, values, segment):
        """Σ weight · mass / Σ weight over the categories with evidence, mass = n / (n + k).

        Each mass, and then their mean, is rounded to thousandths, half to even.
        """
        weights = self.weights_of(segment)
        total = sum(weights[name] for name, _, _ in self.evidence)
        mass = 0
        for name, evidence, strength in self.evidence:
            known = Fraction(evidence(values))
            mass += weights[name] * round(1000 * known / (known + strength))
        return round(mass / total)

    # ------------------------------------------------------------ points

    def shares(self, values):
        """The share of every scored feature's bin, by feature."""
        return {feature.name: feature.share(values[feature.name]) for feature in self.features}

    def mean_share(self, category, segment, shares):
        """Σ importance · share / (1200 · Σ importance) of a category, 0 to 1; neutral where nothing counts."""
        scored = self.of_category(category, segment)
        weight = sum(feature.importance for feature in scored)
        if weight == 0:
            return Fraction(self.neutral, WHOLE)
        return Fraction(sum(feature.importance * shares[feature.name] for feature in scored), WHOLE * weight)

    def exact_points(self, segment, shares):
        """Points by category before any rounding."""
        weights = self.weights_of(segment)
        return {name: self.range * weights[name] / 100 * self.mean_share(name, segment, shares) for name in self.categories}

    def score(self, segment, shares):
        """The score before policy rules."""
        return self.low + round(sum(self.exact_points(segment, shares).values()))

    def points(self, segment, shares):
        """Whole points by category that add up to the score less `low`."""
        exact_points = self.exact_points(segment, shares)
        total = round(sum(exact_points.values()))
        return dict(zip(self.categories, share_out(total, list(exact_points.values())), strict=True))

    def maxima(self, segment):
        """The most each category can give; they add up to the range."""
        weights = self.weights_of(segment)
        parts = [self.range * weights[name] / 100 for name in self.categories]
        return dict(zip(self.categories, share_out(self.range, parts), strict=True))

    def own_share(self, segment, shares):
        """The share that the categories other than relationships earn, 0 to 1: the prior of the friends' mean."""
        weights = self.weights_of(segment)
        others = [name for name in self.categories if name != RELATIONSHIPS]
        total = sum(weights[name] for name in others)
        return sum(weights[name] * self.mean_share(name, segment, shares) for name in others) / total

    def points_of_share(self, share):
        """A share on the scale of the score."""
        return self.low + self.range * share

    def band(self, score):
        """The name of the band a score lies in."""
        bands = self.text["band"]
        return bands[bisect_right([band["from"] for band in bands], score) - 1]["name"]

    # ------------------------------------------------------------ reasons and policy

    def baselines(self, rows):
        """By segment and feature, the share that reasons compare with; `rows` are pairs of segment, score and shares."""
        kind, settings = self.text["reasons"]["baseline"], self.text["reasons"]
        by_segment = defaultdict(list)
        for segment, score, shares in rows:
            near = kind != "near_cutoff" or abs(score - settings["cutoff"]) <= settings["cutoff_within"]
            if near:
                by_segment[segment].append(shares)
        return {name: self._baseline(kind, by_segment[name]) for name, _, _ in self.segments}

    def _baseline(self, kind, rows):
        if kind == "max":
            return {feature.name: max(feature.shares) for feature in self.features}
        if kind == "neutral" or not rows:
            return {feature.name: self.neutral for feature in self.features}
        return {feature.name: Fraction(sum(row[feature.name] for row in rows), len(rows)) for feature in self.features}

    def shortfalls(self, segment, shares, baseline, relationships):
        """Exact points by reason code, of the relationship category or of the others.

        shortfall = range · weight · importance · (baseline - share) / (1200 · Σ importance)
        """
        weights, sums = self.weights_of(segment), defaultdict(Fraction)
        for feature in self.features:
            if (feature.category == RELATIONSHIPS) == relationships and feature.counts_in(segment):
                total = sum(other.importance for other in self.of_category(feature.category, segment))
                part = self.range * weights[feature.category] / 100 * feature.importance / (WHOLE * total)
                sums[feature.reason] += part * (baseline[feature.name] - shares[feature.name])
        return sums

    def reasons(self, *arguments):
        """Codes whose shortfall is above 0, the largest first, then by code."""
        sums = self.shortfalls(*arguments)
        return [code for points, code in sorted((-points, code) for code, points in sums.items()) if points < 0]

    def cap(self, score, views):
        """The score after the policy rules, and the rule that lowered it."""
        lowered = None
        for policy, holds in self.policies:
            if score > policy["cap"] and any(holds(row) is True for row in views[policy["source"]]):
                score, lowered = policy["cap"], policy
        return score, lowered


class _Scored:
    """A feature's place in the scorecard."""

    def __init__(self, text, declared, neutral, factor):
        self.name, self.importance = text["name"], text["importance"]
        self.category, self.reason = declared["category"], declared["reason"]
        self.edges = [_edge(one["from"], declared, factor) for one in text["bins"][1:]]
        self.shares = [one["share"] for one in text["bins"]]
        self.missing = {NONE: text.get("none", neutral), UNKNOWN: text.get("unknown", neutral)}
        self.segments = text.get("segments")

    def counts_in(self, segment):
        """Whether the feature counts in a segment: in those it names, or in all."""
        return self.segments is None or segment in self.segments

    def bin(self, value):
        """Number of the bin [from, below) a value lies in; after the bins come `none` and `unknown`."""
        if is_missing(value):
            return len(self.shares) + [NONE, UNKNOWN].index(value)
        return bisect_right(self.edges, value)

    def share(self, value):
        return self.missing[value] if is_missing(value) else self.shares[self.bin(value)]


def _edge(written, declared, factor):
    """A bin's edge; one of money is meant in the model's currency: edge · factor, exactly."""
    return exact(written) * factor if declared["unit"] == "money" else written


def _rule(text):
    return parse(text["when"]) if "when" in text else lambda values: True


def share_out(total, parts):
    """Integers near the parts that add up to the total: by largest remainder, the first of equal ones."""
    whole = [part.numerator // part.denominator for part in parts]
    order = sorted(range(len(parts)), key=lambda number: (whole[number] - parts[number], number))
    for number in order[: total - sum(whole)]:
        whole[number] += 1
    return whole
