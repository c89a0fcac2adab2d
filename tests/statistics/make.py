"""Makes expected.json: inputs and what scikit-learn, SciPy, optbinning and pandas say about them.

The statistics of `sesame` are written in Rust; the tests hold them against these values, which other people's code computed.

    pip install numpy scipy scikit-learn pandas optbinning
    python tests/statistics/make.py

It writes expected.json beside itself and prints the versions it ran with; the file at hand was made with

    python 3.11.7, numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, pandas 3.1.1, optbinning 1.0.0

The inputs come from a numpy Generator with a fixed seed per section and are written next to the values, so that a test needs
nothing but the file. The same versions on the same machine give the same bytes; another build may differ in the last digits.
Numbers are written by Python's repr: the shortest text that reads back as the same double. A value that does not exist is null.

What each section means (a higher score is better; `bad` marks the bad ones; every interval is for 95 %):

ranking      auc: sklearn roc_auc_score of good by score. gini: 2 auc - 1. ks: scipy ks_2samp, two-sided, so never negative.
             auc_variance: DeLong, DeLong and Clarke-Pearson (1988), from its definition. The interval is auc -/+ z sqrt(variance),
             clipped to [0, 1]. With one bad subject (or one good) the variance does not exist, and the interval neither.
             roc: sklearn roc_curve of bad by -score with drop_intermediate=False: the first point is (0, 0), then one point for
             each different score from the lowest up.
delong       The paired test of two scores of the same subjects: difference = auc_a - auc_b, its variance, z = difference /
             sqrt(variance), two-sided p-value, interval of the difference (not clipped). Variance 0: no z and no p-value.
calibration  pd = 1 / (1 + odds_at * 2 ** ((score - points_at) / points_to_double)). mean_pd, observed (the share of bad ones),
             brier: sklearn brier_score_loss, log_loss: sklearn log_loss. intercept and slope: logistic regression without penalty
             of bad on ln(pd / (1 - pd)), by Newton's method.
psi          optbinning.binning.metrics.jeffrey of the two distributions over the cells: the function that optbinning's
             ScorecardMonitoring computes its PSI with. `expected` and `actual` are counts, none of them 0.
chi2         quantile_999 = scipy chi2.ppf(0.999, cells - 1) * (1 / n + 1 / m).
normal       values: scipy norm.cdf and norm.sf; quantiles: norm.ppf.
wilson       scipy binomtest(bad, subjects).proportion_ci(method="wilson"): no continuity correction.
fairness     rates: share with score >= cutoff. ratio: to the highest rate. mean_difference: of scores, to the largest group.

Where there is a second way to a value the script takes it too and stops if they differ: AUC by Mann-Whitney's U, DeLong in exact
fractions and by midranks (Sun and Xu, 2014), KS by the ROC curve, the regression by sklearn and by its gradient, PSI by scipy
rel_entr.
"""

import contextlib
import io
import json
import math
import platform
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas
import scipy
import sklearn
from scipy import special, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

with contextlib.redirect_stderr(io.StringIO()):  # its solvers, which are not needed here, speak up when imported
    import optbinning
    from optbinning.binning.metrics import jeffrey

SEED = 20240229
Z = float(stats.norm.ppf(0.975))


def same(one, other, relative=1e-9, absolute=1e-15):
    assert math.isclose(one, other, rel_tol=relative, abs_tol=absolute), f"{one!r} is not {other!r}"


def ints(values):
    return [int(v) for v in values]


def bools(values):
    return [bool(v) for v in values]


def floats(values):
    return [float(v) for v in values]


# --- DeLong -------------------------------------------------------------------------------------------------------------


def components(scores, bad):
    """V10 of each good one, V01 of each bad one: psi is 1 where the good one scores higher, 1/2 for a tie, otherwise 0."""
    good, bad = scores[~bad][:, None], scores[bad][None, :]
    psi = np.where(good > bad, 1.0, np.where(good == bad, 0.5, 0.0))
    return psi.mean(axis=1), psi.mean(axis=0)


def midranks(scores, bad):
    """The same components from ranks."""
    good, bad = scores[~bad], scores[bad]
    m, n = len(good), len(bad)
    all_ranks = stats.rankdata(np.concatenate([good, bad]))
    v10 = (all_ranks[:m] - stats.rankdata(good)) / n
    v01 = 1 - (all_ranks[m:] - stats.rankdata(bad)) / m
    return v10, v01


def exact(bad, *signed):
    """Area and variance of a sum of scores, each with its sign, in fractions."""
    m, n = int((~bad).sum()), int(bad.sum())
    psi2 = sum(
        sign * (np.sign(scores[~bad][:, None] - scores[bad][None, :]).astype(np.int64) + 1) for sign, scores in signed
    )

    def variance(values):
        mean = Fraction(sum(values), len(values))
        return sum((v - mean) ** 2 for v in values) / (len(values) - 1)

    area = Fraction(int(psi2.sum()), 2 * m * n)
    if m < 2 or n < 2:
        return float(area), None
    v10 = [Fraction(v, 2 * n) for v in ints(psi2.sum(axis=1))]
    v01 = [Fraction(v, 2 * m) for v in ints(psi2.sum(axis=0))]
    return float(area), float(variance(v10) / m + variance(v01) / n)


def auc_variance(scores, bad):
    v10, v01 = components(scores, bad)
    for one, other in zip((v10, v01), midranks(scores, bad)):
        assert np.allclose(one, other, rtol=0, atol=1e-12)
    if min(len(v10), len(v01)) < 2:
        return None
    return float(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))


def difference_variance(a, b, bad):
    """L S L' of the paper for L = (1, -1), as the variance of the differences: equal, and nothing cancels."""
    (a10, a01), (b10, b01) = components(a, bad), components(b, bad)
    variance = float((a10 - b10).var(ddof=1) / len(a10) + (a01 - b01).var(ddof=1) / len(a01))
    s = np.cov(a10, b10, ddof=1) / len(a10) + np.cov(a01, b01, ddof=1) / len(a01)
    same(variance, s[0, 0] + s[1, 1] - 2 * s[0, 1], relative=1e-9, absolute=1e-14)
    return variance


# --- inputs -------------------------------------------------------------------------------------------------------------


def flags(rng, rows, share):
    bad = np.zeros(rows, dtype=bool)
    bad[rng.choice(rows, size=round(rows * share), replace=False)] = True
    return bad


def in_steps(values, step, low=350, high=950):
    return np.clip(np.rint(values / step) * step, low, high).astype(np.int64)


def draw(rng, bad, good_mean, bad_mean, spread, step):
    return in_steps(rng.normal(np.where(bad, bad_mean, good_mean), spread), step)


# --- sections -----------------------------------------------------------------------------------------------------------


def ranking():
    rng = np.random.default_rng([SEED, 1])

    bad = flags(rng, 300, 0.15)
    yield ranked("300 rows with ties", draw(rng, bad, 650, 570, 85, 10), bad)

    bad = flags(rng, 60, 0.3)
    yield ranked("five scores", draw(rng, bad, 680, 600, 120, 150), bad)

    bad = flags(rng, 50, 0.2)
    yield ranked("perfect separation", np.where(bad, rng.integers(350, 500, 50), rng.integers(501, 950, 50)), bad)

    bad = flags(rng, 30, 0.2)
    yield ranked("all scores equal", np.full(30, 600), bad)

    bad = flags(rng, 80, 0.2)
    yield ranked("reversed", draw(rng, bad, 500, 720, 70, 5), bad)

    bad = flags(rng, 40, 1 / 40)
    yield ranked("one bad among 40", draw(rng, bad, 640, 600, 80, 10), bad)


def ranked(name, scores, bad):
    auc = float(roc_auc_score(~bad, scores))
    variance = auc_variance(scores, bad)
    ks = float(stats.ks_2samp(scores[bad], scores[~bad]).statistic)
    fpr, tpr, _ = roc_curve(bad, -scores, drop_intermediate=False)

    same(auc, stats.mannwhitneyu(scores[~bad], scores[bad]).statistic / (bad.sum() * (~bad).sum()))
    same(auc, exact(bad, (1, scores))[0])
    same(ks, np.abs(tpr - fpr).max())
    same(auc, np.trapezoid(tpr, fpr))
    assert len(fpr) == len(set(ints(scores))) + 1 and fpr[0] == tpr[0] == 0 and fpr[-1] == tpr[-1] == 1
    if variance is None:
        assert exact(bad, (1, scores))[1] is None
        low = high = None
    else:
        same(variance, exact(bad, (1, scores))[1])
        half = Z * math.sqrt(variance)
        low, high = max(0.0, auc - half), min(1.0, auc + half)
    return {
        "name": name,
        "scores": ints(scores),
        "bad": bools(bad),
        "auc": auc,
        "gini": 2 * auc - 1,
        "ks": ks,
        "auc_variance": variance,
        "auc_low": low,
        "auc_high": high,
        "roc": {"fpr": floats(fpr), "tpr": floats(tpr)},
    }


def delong():
    rng = np.random.default_rng([SEED, 2])

    bad = flags(rng, 200, 0.2)
    common = rng.normal(np.where(bad, 570, 650), 70)
    a = in_steps(common + rng.normal(0, 25, 200), 1)
    b = in_steps(common + rng.normal(0, 60, 200), 1)
    yield paired("correlated", a, b, bad)

    nearly = a.copy()
    moved = rng.choice(200, size=6, replace=False)
    nearly[moved] += rng.choice([-9, 9], size=6)
    yield paired("nearly identical", a, nearly, bad)

    bad = flags(rng, 150, 0.25)
    yield paired("independent with ties", draw(rng, bad, 650, 560, 80, 25), draw(rng, bad, 640, 610, 80, 50), bad)

    bad = flags(rng, 60, 0.25)
    a = draw(rng, bad, 650, 590, 80, 10)
    yield paired("identical", a, a.copy(), bad)


def paired(name, a, b, bad):
    auc_a, auc_b = float(roc_auc_score(~bad, a)), float(roc_auc_score(~bad, b))
    difference, variance = auc_a - auc_b, difference_variance(a, b, bad)
    exact_difference, exact_variance = exact(bad, (1, a), (-1, b))
    same(difference, exact_difference)
    same(variance, exact_variance)
    half = Z * math.sqrt(variance)
    z = difference / math.sqrt(variance) if variance > 0 else None
    return {
        "name": name,
        "a": ints(a),
        "b": ints(b),
        "bad": bools(bad),
        "auc_a": auc_a,
        "auc_b": auc_b,
        "difference": difference,
        "variance_difference": variance,
        "z": z,
        "p_value": None if z is None else float(2 * stats.norm.sf(abs(z))),
        "low": difference - half,
        "high": difference + half,
    }


def calibration():
    rng = np.random.default_rng([SEED, 3])

    scores = in_steps(rng.normal(560, 70, 300), 1)
    yield calibrated("drawn from the pd", scores, rng.random(300) < pd_of(scores))

    scores = in_steps(rng.normal(540, 80, 320), 5)
    logit = 0.6 + 0.55 * special.logit(pd_of(scores))
    yield calibrated("pd too spread and too low", scores, rng.random(320) < special.expit(logit))


POINTS_AT, ODDS_AT, POINTS_TO_DOUBLE = 600, 19.0, 50.0


def pd_of(scores):
    return 1 / (1 + ODDS_AT * 2 ** ((scores - POINTS_AT) / POINTS_TO_DOUBLE))


def logistic(x, y):
    """Intercept and slope of the highest likelihood by Newton's method."""
    design = np.column_stack([np.ones_like(x), x])
    beta = np.zeros(2)
    for _ in range(100):
        p = special.expit(design @ beta)
        step = np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]), design.T @ (y - p))
        beta += step
        if np.abs(step).max() < 1e-14:
            break
    else:
        raise AssertionError("Newton's method did not converge")
    gradient = design.T @ (y - special.expit(design @ beta))
    assert np.abs(gradient).max() < 1e-11, gradient
    return floats(beta)


def calibrated(name, scores, bad):
    pd = pd_of(scores)
    x = np.log(pd / (1 - pd))
    intercept, slope = logistic(x, bad.astype(float))
    # C=inf is what penalty=None was called before scikit-learn 1.8 deprecated it.
    check = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x[:, None], bad)
    same(intercept, check.intercept_[0])
    same(slope, check.coef_[0, 0])
    return {
        "name": name,
        "scores": ints(scores),
        "bad": bools(bad),
        "points_at": POINTS_AT,
        "odds_at": ODDS_AT,
        "points_to_double": POINTS_TO_DOUBLE,
        "mean_pd": float(pd.mean()),
        "observed": float(bad.mean()),
        "brier": float(brier_score_loss(bad, pd)),
        "log_loss": float(log_loss(bad, pd)),
        "intercept": intercept,
        "slope": slope,
    }


def psi():
    rng = np.random.default_rng([SEED, 4])
    for cells, before, after in [(2, 500, 400), (10, 5_000, 3_000), (24, 20_000, 9_000)]:
        shares = rng.dirichlet(np.full(cells, 6.0))
        moved = shares * np.exp(rng.normal(0, 0.3, cells))
        expected, actual = rng.multinomial(before, shares), rng.multinomial(after, moved / moved.sum())
        assert expected.min() > 0 and actual.min() > 0
        e, a = expected / expected.sum(), actual / actual.sum()
        value = float(jeffrey(a, e, return_sum=True))
        same(value, special.rel_entr(a, e).sum() + special.rel_entr(e, a).sum())
        yield {"name": f"{cells} cells", "expected": ints(expected), "actual": ints(actual), "psi": value}


def chi2():
    for cells, n, m in [(2, 100, 100), (3, 500, 250), (5, 1_000, 40), (10, 5_000, 3_000), (20, 20_000, 20_000), (30, 200, 90_000)]:
        yield {"cells": cells, "n": n, "m": m, "quantile_999": float(stats.chi2.ppf(0.999, cells - 1) * (1 / n + 1 / m))}


def normal():
    xs = [i / 4 for i in range(-32, 33)] + [-Z, Z]
    tails = [1e-12, 1e-9, 1e-6, 1e-4, 0.001, 0.005, 0.01, 0.02425, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4]
    ps = tails + [0.5] + [1 - p for p in reversed(tails)]
    return {
        "values": [{"x": x, "cdf": float(stats.norm.cdf(x)), "sf": float(stats.norm.sf(x))} for x in xs],
        "quantiles": [{"p": p, "quantile": float(stats.norm.ppf(p))} for p in ps],
    }


def wilson():
    for bad, subjects in [(0, 20), (20, 20), (0, 1), (1, 1), (1, 20), (7, 20), (10, 20), (3, 400), (1_234, 9_999), (5, 1_000_000)]:
        found = stats.binomtest(bad, subjects).proportion_ci(confidence_level=0.95, method="wilson")
        yield {"bad": bad, "subjects": subjects, "low": float(found.low), "high": float(found.high)}


def fairness():
    rng = np.random.default_rng([SEED, 5])
    groups = rng.permutation(np.repeat(["north", "south", "east", "west"], [70, 45, 30, 15]))
    means = {"north": 640, "south": 610, "east": 655, "west": 580}
    scores = in_steps(rng.normal([means[g] for g in groups], 60), 5)
    cutoff = 600
    assert (scores == cutoff).any()
    by = pandas.DataFrame({"group": groups, "score": scores}).groupby("group").score
    rates = by.apply(lambda s: (s >= cutoff).mean())
    most = by.size().idxmax()
    return {
        "groups": [str(g) for g in groups],
        "scores": ints(scores),
        "cutoff": cutoff,
        "rates": named(rates),
        "ratio": named(rates / rates.max()),
        "mean_difference": named(by.mean() - by.mean()[most]),
    }


def named(series):
    return {str(k): float(v) for k, v in series.items()}


# --- the file -----------------------------------------------------------------------------------------------------------


def text(sections):
    """One line for each case."""

    def line(value):
        return json.dumps(value, allow_nan=False, separators=(",", ":"))

    def lines(values, indent):
        return "[\n" + ",\n".join(indent + " " + line(v) for v in values) + "\n" + indent + "]"

    made = []
    for name, section in sections.items():
        if isinstance(section, list):
            body = lines(section, " ")
        elif name == "normal":
            body = "{\n" + ",\n".join(f"  {line(k)}: {lines(v, '  ')}" for k, v in section.items()) + "\n }"
        else:
            body = line(section)
        made.append(f" {line(name)}: {body}")
    return "{\n" + ",\n".join(made) + "\n}\n"


def main():
    sections = {
        "ranking": list(ranking()),
        "delong": list(delong()),
        "calibration": list(calibration()),
        "psi": list(psi()),
        "chi2": list(chi2()),
        "normal": normal(),
        "wilson": list(wilson()),
        "fairness": fairness(),
    }
    made = text(sections)
    assert json.loads(made) == sections
    assert len(made) < 150_000, len(made)
    path = Path(__file__).with_name("expected.json")
    path.write_text(made, encoding="utf-8", newline="\n")
    versions = {"python": platform.python_version()}
    for name, module in [
        ("numpy", np),
        ("scipy", scipy),
        ("scikit-learn", sklearn),
        ("pandas", pandas),
        ("optbinning", optbinning),
    ]:
        versions[name] = module.__version__
    print(f"{path}: {len(made)} bytes")
    print(", ".join(f"{k} {v}" for k, v in versions.items()))


if __name__ == "__main__":
    main()
