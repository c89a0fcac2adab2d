"""Links and priors for the comparison of graph jobs, as Parquet.

    python benches/peers/graph_generate.py /tmp/kron --shape power-law --scale 22 --rows 67108864
    python benches/peers/graph_generate.py /tmp/uniform --shape uniform --scale 22 --rows 67108864

2^scale subjects with random 64-bit integer ids, in random order. `power-law` draws links by R-MAT (0.57, 0.19, 0.19,
0.05), the Kronecker graph of Graph500, with subjects renumbered at random; `uniform` draws both ends uniformly. Two
thirds of the ties are older than 90 days by far, none is younger; every tenth link does not tell its interactions.
Seeded: the same call writes the same rows.
"""
import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 1 << 20
AS_OF = 20_392   # 2025-10-31


def ends(rng, shape, scale, rows):
    if shape == "uniform":
        return rng.integers(0, 1 << scale, rows, dtype=np.int64), rng.integers(0, 1 << scale, rows, dtype=np.int64)
    a, b = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    for _ in range(scale):
        u = rng.random(rows, dtype=np.float32)
        right = ((u >= 0.57) & (u < 0.76)) | (u >= 0.95)
        down = u >= 0.76
        a = (a << 1) | down
        b = (b << 1) | right
    return a, b


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=["power-law", "uniform"], default="power-law")
    parser.add_argument("--scale", type=int, default=22)
    parser.add_argument("--rows", type=int, default=1 << 26)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    n = 1 << args.scale
    # A bijection of the integers below 2^62 makes random ids that are all different.
    ids = (np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(2)).astype(np.int64)
    rng.shuffle(ids)
    prior = np.clip(rng.normal(0.53, 0.08, n), 0.0, 1.0)
    confidence = np.clip(rng.beta(4, 2, n), 0.1, 1.0)
    subjects = pa.table({
        "subject_id": ids, "kind": pa.array(["consumer"] * n).dictionary_encode(),
        "prior": np.round(prior, 6), "confidence": np.round(confidence, 3),
    })
    pq.write_table(subjects, args.folder / "subjects.parquet", row_group_size=CHUNK)
    schema = pa.schema([("subject_a", pa.int64()), ("subject_b", pa.int64()), ("since", pa.date32()), ("interactions_90d", pa.int32())])
    with pq.ParquetWriter(args.folder / "friend_links.parquet", schema) as writer:
        for start in range(0, args.rows, CHUNK):
            rows = min(CHUNK, args.rows - start)
            a, b = ends(rng, args.shape, args.scale, rows)
            since = (AS_OF - 91 - rng.integers(0, 2000, rows)).astype(np.int32)
            told = rng.random(rows) >= 0.1
            interactions = pa.array(rng.poisson(4, rows).astype(np.int32), mask=~told)
            writer.write_table(pa.table([ids[a], ids[b], pa.array(since).cast(pa.date32()), interactions], schema=schema))


if __name__ == "__main__":
    main()
