"""Models and catalogues of their own for some random cases: edits of the standard ones, each seldom alone."""

import re
import shutil
import tomllib
from pathlib import Path

from exports import ROOT

MOST_EDGES = 240
CATEGORIES = [
    "credit_history",
    "fulfilment_capacity",
    "behaviour_preference",
    "personal_characteristics",
    "relationships",
]
SEGMENTS = ["small_business", "consumer_thick", "consumer_utility", "consumer_new"]
HERE = Path(__file__).resolve().parent


def write_model(chance, folder):
    """A model and its catalogue below the folder, or None for the standard ones."""
    if chance.random() < 0.4:
        return None
    copy_catalogue(folder)
    catalogue = folder / "features/evidence.toml"
    if chance.random() < 0.7:
        catalogue.write_text(catalogue.read_text() + (HERE / "more_features.toml").read_text())
    text = (ROOT / "pipelines/models/standard.toml").read_text()
    for edit in chance.sample(EDITS, chance.randrange(1, 5)):
        text = edit(chance, text)
    return save_model(folder, "own", text)


def save_model(folder, name, text):
    """Writes a model file beside the catalogue."""
    path = folder / f"models/{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def copy_catalogue(folder):
    """The standard catalogue where a model in `models` looks for it."""
    shutil.copytree(ROOT / "pipelines/features", folder / "features")


def with_narrow_bins(text, points):
    """The model with bins for the friends' mean of a millionth of the range around each of these points.

    So that a mean that is off by one millionth falls into another bin, and is counted there.
    """
    head, tail = text.split('name = "friends_score"\nimportance = 50\n', 1)
    edges = sorted({float(edge) for edge in points})[:MOST_EDGES]
    bins = [f"{{ below = {edges[0]}, share = 0 }}"]
    bins += [
        f"{{ from = {low}, below = {high}, share = {number} }}"
        for number, (low, high) in enumerate(zip(edges, edges[1:], strict=False), 1)
    ]
    bins += [f"{{ from = {edges[-1]}, share = 1000 }}"]
    segments, tail = tail.split("bins = [", 1)
    begin = f'name = "friends_score"\nimportance = 50\n{segments}bins = ['
    return head + begin + ", ".join(bins) + "]\n" + tail[tail.index("basis") :]


def replaced(text, old, new):
    """The text with its only or first `old` replaced; an edit that would do nothing is an error."""
    if old not in text:
        raise ValueError(f"the standard model has no {old!r}")
    return text.replace(old, new, 1)


def few_ties(chance, text):
    """Small numbers for what a small population would not reach."""
    text = replaced(text, "max_ties = 200 ", f"max_ties = {chance.choice([3, 4, 6])} ")
    return replaced(text, "sender_budget = 50 ", f"sender_budget = {chance.choice([2, 3, 5])} ")


def other_friends(chance, text):
    """Other parameters of propagation."""
    text = replaced(text, "min_friends = 3 ", f"min_friends = {chance.choice([3, 4, 5])} ")
    text = replaced(text, "min_tie_age_days = 90 ", f"min_tie_age_days = {chance.choice([0, 1, 180])} ")
    text = replaced(text, "full_interactions = 20 ", f"full_interactions = {chance.choice([1, 2, 5, 30])} ")
    return replaced(text, "friend_steps = [5, 10, 20, 50]", "friend_steps = [7, 9, 12]")


def other_pull(chance, text):
    """Other weights of the friends' mean."""
    text = replaced(text, "confidence_floor = 0.1 ", f"confidence_floor = {chance.choice([0.001, 0.3, 0.35])} ")
    text = replaced(text, "anchor = 2 ", f"anchor = {chance.choice([1, 0.5, 3])} ")
    text = replaced(text, "influence = 0.5 ", f"influence = {chance.choice([0.1, 0.3, 0.45])} ")
    return replaced(text, "precision = 0.001 ", f"precision = {chance.choice([0.1, 0.01, 0.0001])} ")


def no_friends(chance, text):
    """Friends' scores switched off."""
    return replaced(text, "[propagation]\nenabled = true", "[propagation]\nenabled = false")


def other_baseline(chance, text):
    """Another baseline of reasons."""
    kind = chance.choice(["max", "neutral", "near_cutoff"])
    extra = "\ncutoff = 570\ncutoff_within = 20" if kind == "near_cutoff" else ""
    return replaced(text, 'baseline = "population_mean"', f'baseline = "{kind}"{extra}')


def other_weights(chance, text):
    """Weights that leave remainders, a small business whose friends count, and another scale."""
    old, new = (35, 35, 20, 10, 0), (33, 31, 17, 10, 9)
    text = replaced(text, weights_text(old), weights_text(new))
    text = replaced(text, "from = 350\n", "from = 347\n")
    return replaced(text, "[scale]\nlow = 350", "[scale]\nlow = 347")


def weights_text(weights):
    """A segment's weights as the standard model writes them."""
    return ", ".join(f"{name} = {weight}" for name, weight in zip(CATEGORIES, weights, strict=True))


def missing_shares(chance, text):
    """Shares of their own for what is missing."""
    text = replaced(
        text,
        'name = "late_share_12m"\nimportance = 16\n',
        'name = "late_share_12m"\nimportance = 17\nnone = 451\nunknown = 333\n',
    )
    return replaced(
        text, 'name = "identity_level"\nimportance = 16\n', 'name = "identity_level"\nimportance = 13\nunknown = 7\n'
    )


def more_policies(chance, text):
    """A second rule, over another table, with a cap below or above that of the first."""
    source, where = chance.choice(
        [
            ("repayments", "days_past_due >= 90 AND amount_due_minor > 0"),
            ("purchases", "occurred_weekday = 7 AND occurred_hour % 12 = 11"),
            ("sales", "rating < 700 AND complaints > 0 AND orders % 3 = 1"),
        ]
    )
    rule = f"""
[[policy]]
code = "P02"
about = "One of another table."
source = "{source}"
where = "{where}"
cap = {chance.choice([430, 560])}
reason = "C02"
basis = "expert judgement"

[[reason]]
code = "P01"
"""
    return replaced(text, '\n[[reason]]\ncode = "P01"\n', rule)


def other_segments(chance, text):
    """Features that count in some segments only, at times all of a category: where none counts it is neutral."""
    catalogue = ROOT / f"pipelines/features/{chance.choice(CATEGORIES)}.toml"
    whole = {one["name"] for one in tomllib.loads(catalogue.read_text())["feature"]} if chance.random() < 0.5 else ()
    kept = chance.sample(SEGMENTS, chance.choice([1, 2, 3]))

    def placed(match):
        segments = kept if match["name"] in whole else chance.sample(SEGMENTS, chance.choice([1, 2, 3, 4]))
        if match["name"] not in whole and chance.random() < 0.8:
            return match[0]
        return f"{match['begin']}segments = [{', '.join(map(repr, segments))}]\n".replace("'", '"')

    # What `missing_shares` put between them stays there.
    begin = r'(?P<begin>\nname = "(?P<name>\w+)"\nimportance = \d+\n((none|unknown) = \d+\n)*)'
    return re.sub(begin + r"(segments = .*\n)?", placed, text)


EDITS = [few_ties, other_friends, other_pull, no_friends, other_baseline, other_weights, missing_shares, more_policies]
EDITS += [other_segments, other_segments]
