"""The graph job of `benches/graph_job.rs` in pyarrow, pandas and SciPy: from links and priors to the friends' mean.

    python benches/peers/graph_scipy.py /tmp/kron [--out friends.parquet] [--lenient]

Reads the two Parquet files with pyarrow, looks ids up with a pandas index, builds a SciPy CSR matrix and iterates in
double precision, one thread as SciPy's product has. A tie given twice is merged to its largest interactions; with
`--lenient` strengths of repeated ties are added instead, which is wrong and saves the sort. No cap of ties, no
neighbour features: less than what the Rust job does. Prints seconds by stage.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_matrix, csr_matrix

AS_OF, MIN_AGE, FLOOR, BUDGET, ANCHOR, INFLUENCE, ROUNDS = 20_392, 90, 0.1, 50, 2.0, 0.5, 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--lenient", action="store_true")
    args = parser.parse_args()
    last = [time.process_time(), time.perf_counter()]

    def lap(name):
        now = [time.process_time(), time.perf_counter()]
        print(f"{name:<12} cpu {now[0] - last[0]:7.2f} s  wall {now[1] - last[1]:7.2f} s", flush=True)
        last[:] = now

    subjects = pq.read_table(args.folder / "subjects.parquet", columns=["subject_id", "prior", "confidence"])
    ids = subjects["subject_id"].to_numpy()
    p, c = subjects["prior"].to_numpy(), subjects["confidence"].to_numpy()
    links = pq.read_table(args.folder / "friend_links.parquet")
    a, b = links["subject_a"].to_numpy(), links["subject_b"].to_numpy()
    since = links["since"].cast(pa.int32()).to_numpy()
    told = links["interactions_90d"].fill_null(1).to_numpy()
    lap("decode")
    index, n = pd.Index(ids), len(ids)
    a, b = index.get_indexer(a), index.get_indexer(b)
    lap("look up")
    counted = c >= FLOOR
    keep = (a >= 0) & (b >= 0) & (a != b) & (AS_OF - since >= MIN_AGE)
    keep &= counted[a] & counted[b]
    table = np.maximum(1, np.round(255 * np.log1p(np.minimum(np.arange(31), 20)) / np.log(21)))
    a, b, strength = a[keep].astype(np.int32), b[keep].astype(np.int32), table[np.minimum(told[keep], 30)]
    del links, since, told, keep
    if not args.lenient:
        key = np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b)
        order = np.argsort(key, kind="stable")
        key, strength = key[order], strength[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        strength = np.maximum.reduceat(strength, first)
        a, b = (key[first] // n).astype(np.int32), (key[first] % n).astype(np.int32)
        del key, order, first
    ties = coo_matrix((np.r_[strength, strength] / 255.0, (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    del a, b, strength
    lap("build")
    degree = np.diff(ties.indptr)
    thousandths, degree = np.round(c * 1000).astype(np.int64), np.maximum(degree, 1).astype(np.int64)
    v = np.where(counted, (2 * thousandths * np.minimum(BUDGET, degree) + degree) // (2 * degree) / 1000, 0.0)
    evidence = ties @ v
    mean = (c[counted] * p[counted]).sum() / c[counted].sum()
    influence = INFLUENCE * (1 - c)
    f = p.copy()
    lap("weights")
    for _ in range(ROUNDS):
        r = (ANCHOR * mean + ties @ (v * f)) / (ANCHOR + evidence)
        f = (1 - influence) * p + influence * r
    lap(f"{ROUNDS} rounds")
    print(f"links {ties.nnz}")
    if args.out:
        pq.write_table(pa.table({"subject_id": ids, "friends": r}), args.out)


if __name__ == "__main__":
    main()
