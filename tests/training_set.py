"""A training set of `sesame dataset` in scikit-learn and optbinning, as docs/fitting.md walks through it.

    pip install optbinning scikit-learn polars
    sesame dataset pipelines/backfill.toml --from 2025-10-31 --outcomes data-samples/small/outcomes.parquet --out /tmp/training
    python tests/training_set.py /tmp/training
"""
import json
import pathlib
import sys
import warnings

import polars as pl
from optbinning import BinningProcess, Scorecard
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

warnings.filterwarnings("ignore")
folder = pathlib.Path(sys.argv[1])

# 1. The rows: one for each subject and date. Polars, pandas and DuckDB all read the folder as it is.
rows = pl.concat(pl.read_parquet(f) for f in sorted(folder.glob("as_of=*/*.parquet")))
print(f"{rows.height} rows of {rows['subject_id'].n_unique()} subjects, {rows['bad'].sum()} bad")

# 2. What the columns mean: unit, window, and whether more is better.
dictionary = json.loads((folder / "dictionary.json").read_text())
features = [f for f in dictionary["features"] if f["bins"] and rows[f["name"]].drop_nulls().n_unique() > 1]
names = [f["name"] for f in features]
x = rows.select(pl.col(names).cast(pl.Float64)).to_pandas()
y = rows["bad"].cast(pl.Int8).to_numpy()

# 3. Bins that go the way the catalogue declares: +1 means more is better, so the share of bad falls.
trend = {1: "descending", -1: "ascending", 0: "auto_asc_desc"}
bins = {f["name"]: {"monotonic_trend": trend[f["direction"]]} for f in features}

# 4. Every fifth of the subjects by a card of the others; a subject is never on both sides.
of_card = [0.0] * len(y)
for train, test in GroupKFold(5).split(x, y, rows["subject_id"].to_numpy()):
    card = Scorecard(
        binning_process=BinningProcess(names, binning_fit_params=bins),
        estimator=LogisticRegression(C=0.1, max_iter=1000),
        scaling_method="min_max",
        scaling_method_params={"min": 350, "max": 950},
    )
    card.fit(x.iloc[train], y[train], metric_missing="empirical")
    for n, score in zip(test, card.score(x.iloc[test])):
        of_card[n] = score
print(f"score of the model   AUC {1 - roc_auc_score(y, rows['score']):.3f}")
print(f"card of optbinning   AUC {1 - roc_auc_score(y, of_card):.3f}")
