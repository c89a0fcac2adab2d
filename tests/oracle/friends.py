"""Friends' scores: the anchored neighbour average of Friedkin and Johnsen (1990), in fixed point.

With p the share a subject's other categories earn (millionths), c its confidence (thousandths), l = influence (1 - c),
o the strength of a tie (of 255) and v the weight of a sender (thousandths), every round takes all F from the one before:

    E_i = Σ_j o_ij v_j                        over the ties that count for i
    R_i = (κ μ + Σ_j o_ij v_j F_j) / (κ + E_i)      κ = anchor full-strength friends, μ = Σ c p / Σ c
    F_i = (1 - l_i) p_i + l_i R_i

R and F are whole millionths, one rounding each; l and μ are not rounded. A tie counts where both ends are scored with
a confidence of at least `confidence_floor`.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from features import NONE, UNKNOWN, exact, quotient
from times import Cut

SHARE = 10**6
THOUSAND = 1_000
FULL_TIE = 255


@dataclass
class Member:
    """A scored subject of the graph: share in millionths, confidence in thousandths, and what its friends are asked."""

    share: int
    confidence: int
    verified: bool
    in_default: bool


@dataclass
class Pool:
    """What the friends of one subject that count say."""

    friends: int
    evidence: int
    anchor: Fraction
    mean: int
    values: dict


def rounded(number):
    """The nearest integer; halves go up."""
    return math.floor(number + Fraction(1, 2))


def strength_of(interactions, full):
    """ln(1 + min(interactions, full)) / ln(1 + full) in 255ths, at least 1; interactions that are not told are 1."""
    told = 1 if interactions is None else min(interactions, full)
    return max(1, math.floor(FULL_TIE * math.log(1 + told) / math.log(1 + full) + 0.5))


def rounds_for(influence, precision):
    """Smallest K with ρ^K / (1 - ρ) · ρ <= precision: ρ = influence bounds the contraction and the first step."""
    rho, rounds = exact(influence), 0
    while rho**rounds / (1 - rho) * rho > exact(precision):
        rounds += 1
    return rounds


class Graph:
    """Ties between members, and the pools that come of them."""

    def __init__(self, parameters, members, ties, cut: Cut, declarations):
        self.parameters, self.cut, self.declarations = parameters, cut, declarations
        floor = exact(parameters["confidence_floor"]) * THOUSAND
        self.members = members
        self.counted = {subject for subject, member in members.items() if member.confidence >= floor}
        self.neighbours = self._neighbours(ties)
        self.anchor = exact(parameters["anchor"]) * FULL_TIE * THOUSAND
        self.mu = self._population_mean()

    def _neighbours(self, ties):
        """By subject, the ties that count: strongest first, then by id, up to `max_ties`."""
        neighbours = defaultdict(list)
        for tie in ties:
            tie.row.dropped = self._why_not(tie)
            if tie.row.dropped:
                tie.row.fate = "dropped"
                if tie.row.dropped == "not_counted":
                    for row in tie.merged:
                        row.dropped, row.fate = "not_counted", "dropped"
                continue
            strength = strength_of(tie.interactions, self.parameters["full_interactions"])
            first, second = tie.ends
            neighbours[first].append((-strength, second, tie))
            neighbours[second].append((-strength, first, tie))
        self.degree = {subject: len(found) for subject, found in neighbours.items()}
        most = self.parameters["max_ties"]
        return {subject: sorted(found, key=lambda one: one[:2])[:most] for subject, found in neighbours.items()}

    def _why_not(self, tie):
        if not all(end in self.counted for end in tie.ends):
            return "not_counted"
        return "too_young" if self.cut.as_of - tie.since < self.parameters["min_tie_age_days"] else None

    def _population_mean(self):
        """μ = Σ c p / Σ c over the members that count."""
        counted = [self.members[subject] for subject in self.counted]
        weight = sum(member.confidence for member in counted)
        return Fraction(sum(member.confidence * member.share for member in counted), weight) if weight else Fraction(0)

    def _sender_weight(self, subject):
        """v = c min(1, budget / degree), in thousandths."""
        confidence, budget = self.members[subject].confidence, self.parameters["sender_budget"]
        degree = self.degree.get(subject, 0)
        return confidence if degree <= budget else rounded(Fraction(confidence * budget, degree))

    def pools(self):
        """The pool of every subject with at least `min_friends` ties that count."""
        weights = {subject: self._sender_weight(subject) for subject in self.counted}
        links = {
            subject: [(-strength * weights[friend], friend) for strength, friend, _ in self.neighbours.get(subject, [])]
            for subject in self.counted
        }
        evidence = {subject: sum(weight for weight, _ in found) for subject, found in links.items()}
        means = self._iterate(links, evidence)
        least = self.parameters["min_friends"]
        return {
            subject: self._pool(subject, evidence[subject], means[subject])
            for subject in self.counted
            if len(links[subject]) >= least
        }

    def _iterate(self, links, evidence):
        """R after the last round."""
        shares = {subject: self.members[subject].share for subject in self.counted}
        means = {}
        for _ in range(rounds_for(self.parameters["influence"], self.parameters["precision"])):
            means = {
                subject: rounded(
                    (self.anchor * self.mu + sum(weight * shares[friend] for weight, friend in found))
                    / (self.anchor + evidence[subject])
                )
                for subject, found in links.items()
            }
            shares = {subject: self._own_share(subject, means[subject]) for subject in links}
        return means

    def _own_share(self, subject, mean):
        """F = (1 - l) p + l R."""
        member = self.members[subject]
        pull = exact(self.parameters["influence"]) * Fraction(THOUSAND - member.confidence, THOUSAND)
        return rounded((1 - pull) * member.share + pull * mean)

    # ------------------------------------------------------------ features of a pool

    def _pool(self, subject, evidence, mean):
        ties = [tie for _, _, tie in self.neighbours[subject]]
        friends = [self.members[friend] for _, friend, _ in self.neighbours[subject]]
        pool = Pool(len(friends), evidence, self.anchor, mean, {})
        for declared in self.declarations:
            measure = getattr(self, "_" + declared["aggregate"])
            pool.values[declared["name"]] = measure(pool, ties, friends, declared)
        return pool

    def _friends_score(self, pool, ties, friends, declared):
        """R as a share; the scorecard turns it into points."""
        return Fraction(pool.mean, SHARE)

    def _effective_friends(self, pool, ties, friends, declared):
        """E in full-strength ties to a subject whose score is sure."""
        return quotient(pool.evidence, FULL_TIE * THOUSAND)

    def _interaction_share(self, pool, ties, friends, declared):
        """Of the ties whose interactions are told, the share with one."""
        told = [tie.interactions for tie in ties if tie.interactions is not None]
        return quotient(sum(1 for number in told if number > 0), len(told)) if told else UNKNOWN

    def _median_tie_age(self, pool, ties, friends, declared):
        """The middle whole months of age; of two middle ones the smaller."""
        ages = sorted(self.cut.months_ago(tie.since) for tie in ties)
        return ages[(len(ages) - 1) // 2]

    def _friends_verified(self, pool, ties, friends, declared):
        return _shrunk(sum(friend.verified for friend in friends), len(friends), declared)

    def _friends_in_default(self, pool, ties, friends, declared):
        return _shrunk(sum(friend.in_default for friend in friends), len(friends), declared)


def neutral_values(declarations):
    """What the relationship features of a subject without a pool are."""
    return {declared["name"]: NONE for declared in declarations}


def _shrunk(hits, number, declared):
    """(hits + prior · strength) / (number + strength)."""
    strength = exact(declared.get("prior_strength", 0))
    return quotient(hits + exact(declared.get("prior", 0)) * strength, number + strength)
