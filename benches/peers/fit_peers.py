"""What other tools reach on the rows of `sesame dataset`, by the folds that `sesame fit` uses.

    pip install optbinning lightgbm interpret-core scikit-learn polars scipy
    python benches/peers/fit_peers.py TRAINING_SET

Pooled over five folds of subjects: the area under the ROC curve with its 95 % interval (DeLong), and the log-loss. The start score is
read from the rows, with the line that logistic regression draws through it in the other folds.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
folder = pathlib.Path(sys.argv[1])
dictionary = json.loads((folder / "dictionary.json").read_text())
rows = pl.concat([pl.read_parquet(f) for f in sorted(folder.glob("as_of=*/*.parquet"))])
rows = rows.filter(pl.col("override_reason").is_null() if "override_reason" in rows.columns else True)
names = [f["name"] for f in dictionary["features"] if f["bins"]]
directions = [f["direction"] for f in dictionary["features"] if f["bins"]]
told = [n for n in names if rows[n].drop_nulls().n_unique() > 1]
directions = [d for n, d in zip(names, directions) if n in told]
x = rows.select(pl.col(told).cast(pl.Float64)).to_numpy()
y = rows["bad"].cast(pl.Int8).to_numpy()
score = rows["score"].to_numpy().astype(float)
fold = np.array([int(i[:8], 16) % 5 for i in rows["subject_id"]])


def area(p):
    good, bad = p[y == 0], p[y == 1]
    ranks, of_good, of_bad = rankdata(np.r_[bad, good]), rankdata(good), rankdata(bad)
    v_bad = (ranks[: len(bad)] - of_bad) / len(good)
    v_good = 1 - (ranks[len(bad) :] - of_good) / len(bad)
    error = np.sqrt(v_bad.var(ddof=1) / len(bad) + v_good.var(ddof=1) / len(good))
    return v_bad.mean(), error


def told_of(name, fit):
    """`fit(train)` returns what says the probability of going bad of any rows."""
    p = np.empty(len(y))
    for k in range(5):
        p[fold == k] = fit(fold != k)(fold == k)
    p = np.clip(p, 1e-9, 1 - 1e-9)
    auc, error = area(p)
    loss = -np.mean(np.where(y == 1, np.log(p), np.log(1 - p)))
    print(f"{name:42} AUC {auc:.4f} ({auc - 1.96 * error:.4f} to {auc + 1.96 * error:.4f})  log-loss {loss:.4f}", flush=True)


def start(train):
    m = LogisticRegression(C=1e9).fit(score[train, None] / 100, y[train])
    return lambda rows: m.predict_proba(score[rows, None] / 100)[:, 1]


def logistic(train):
    median = np.nanmedian(x[train], axis=0)
    filled = np.where(np.isnan(x), median, x)
    scaler = StandardScaler().fit(filled[train])
    m = LogisticRegression(C=1.0, max_iter=1000).fit(scaler.transform(filled[train]), y[train])
    return lambda rows: m.predict_proba(scaler.transform(filled[rows]))[:, 1]


def optbinning(monotone):
    def fit(train):
        from optbinning import BinningProcess

        trend = {0: "auto_asc_desc", 1: "descending", -1: "ascending"}
        more = {n: {"monotonic_trend": trend[d]} for n, d in zip(told, directions)} if monotone else None
        b = BinningProcess(told, binning_fit_params=more).fit(x[train], y[train])
        w = b.transform(x, metric="woe", metric_missing="empirical")
        m = LogisticRegression(C=1e3, max_iter=1000).fit(w[train], y[train])
        return lambda rows: m.predict_proba(w[rows])[:, 1]

    return fit


def lightgbm(monotone):
    def fit(train):
        import lightgbm as lgb

        m = lgb.LGBMClassifier(
            n_estimators=300, learning_rate=0.03, num_leaves=15, min_child_samples=50, reg_lambda=5, verbose=-1, seed=1,
            deterministic=True, monotone_constraints=[-d for d in directions] if monotone else None,
        ).fit(x[train], y[train])
        return lambda rows: m.predict_proba(x[rows])[:, 1]

    return fit


def ebm(interactions):
    def fit(train):
        from interpret.glassbox import ExplainableBoostingClassifier

        m = ExplainableBoostingClassifier(interactions=interactions, random_state=1, n_jobs=1, outer_bags=4).fit(x[train], y[train])
        return lambda rows: m.predict_proba(x[rows])[:, 1]

    return fit


print(f"{len(y):,} rows, {int(y.sum()):,} bad, {len(told)} features with more than one value")
told_of("start score", start)
told_of("logistic regression", logistic)
told_of("optbinning, monotone, logistic regression", optbinning(True))
told_of("optbinning, logistic regression", optbinning(False))
told_of("LightGBM, monotone", lightgbm(True))
told_of("LightGBM", lightgbm(False))
told_of("EBM, additive", ebm(0))
told_of("EBM with 10 interactions", ebm(10))
