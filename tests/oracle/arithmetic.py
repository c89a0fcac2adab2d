"""Holds the arithmetic of `select` against DuckDB: every operator at every pair of integer widths, on values at their edges.

    pip install -r tests/oracle/requirements.txt
    python tests/oracle/arithmetic.py --sesame target/release/sesame

DuckDB computes in 128 bits what the program must say in 64. For each pair of types and each operator the program reads a
file of all pairs of values through a `select` that keeps the rows in which its result is DuckDB's; the conservation of rows
tells how many it left out. That this can fail is tried as well: with every expectation off by one all rows are left out. A pair whose
result leaves 64 bits must stop the run, one that comes near them may. Exits 1 if anything disagrees.
"""

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
MOST, LEAST = 2**63 - 1, -(2**63)
EDGE = 9.2e18
AT_EDGE = 4   # pairs there that are tried, for each is a run of its own
# What the program is asked, and what DuckDB is, with both sides in 128 bits.
BINARY = {
    "a + b": "a + b",
    "a - b": "a - b",
    "a * b": "a * b",
    "a // b": "a // b",
    "a % b": "a % b",
    # An error there unless it is asked for; then infinite, and null here.
    "a / b": "CASE WHEN b <> 0 THEN a::BIGINT / b::BIGINT END",
    "CASE WHEN a < b THEN 1 ELSE 0 END": "CASE WHEN a < b THEN 1 ELSE 0 END",
    "CASE WHEN a = b THEN 1 ELSE 0 END": "CASE WHEN a = b THEN 1 ELSE 0 END",
}
UNARY = {"-a": "-a", "ABS(a)": "abs(a)", "ROUND(a / 10)": "round(a::DOUBLE / 10)", "a * 100": "a * 100", "100 - a": "100 - a"}


def values(kind):
    bits = WIDTHS[kind]
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    near = [low, low + 1, low // 2, -100, -11, -10, -3, -2, -1, 0, 1, 2, 3, 7, 10, 11, 100, high // 3, high // 2, high - 1, high]
    return sorted({value for value in near if low <= value <= min(high, MOST)}) + [None]


def expected(pairs, expression):
    """DuckDB's results in 128 bits, as integers, doubles or nulls."""
    rows = ", ".join(f"({at}, {a if a is not None else 'NULL'}, {b if b is not None else 'NULL'})" for at, (a, b) in enumerate(pairs))
    query = f"SELECT {expression} FROM (SELECT n, x::HUGEINT AS a, y::HUGEINT AS b FROM (VALUES {rows}) AS v(n, x, y)) ORDER BY n"
    connection = duckdb.connect()
    connection.execute("SET error_on_division_by_zero = false")   # nothing divided by 0 is null
    return [row[0] for row in connection.execute(query).fetchall()]


def export(path, kinds, pairs, results, doubles):
    kept = [(pair, result) for pair, result in zip(pairs, results)]
    n = len(kept)
    columns = {
        "record_id": [str(at) for at in range(n)],
        "due_on": pa.array([20_103] * n, pa.int32()).cast(pa.date32()),
        "a": pa.array([pair[0] for pair, _ in kept], pa.type_for_alias(kinds[0])),
        "b": pa.array([pair[1] for pair, _ in kept], pa.type_for_alias(kinds[1])),
        "expected": pa.array([result for _, result in kept], pa.float64() if doubles else pa.int64()),
    }
    pq.write_table(pa.table(columns), path)


class Program:
    def __init__(self, binary, scratch):
        self.binary, self.scratch = binary, scratch
        subjects = {
            "subject_id": ["s"],
            "kind": ["consumer"],
            "registered_on": pa.array([19_000], pa.int32()).cast(pa.date32()),
        }
        pq.write_table(pa.table(subjects), scratch / "subjects.parquet")

    def left_out(self, name, path, condition):
        """Rows that a condition leaves out, or the error that stops the run."""
        select = (
            "SELECT record_id, 's' AS subject_id, 'a' AS account_id, 'loan' AS product, due_on, "
            f"'CNY' AS currency, 1 AS amount_due_minor, 1 AS amount_paid_minor FROM export WHERE {condition}"
        )
        output = self.scratch / f"out-{name}"
        pipeline = self.scratch / f"{name}.toml"
        pipeline.write_text(
            f'name = "arithmetic"\nmodel = "{ROOT}/pipelines/models/standard.toml"\nas_of = "2025-01-31"\ncurrency = "CNY"\n'
            f'consent_statement = "a test"\noutput = "{output}"\n[inputs]\nsubjects = "{self.scratch}/subjects.parquet"\n'
            f'repayments = {{ path = "{path}", select = {json.dumps(select)} }}\n[gates]\n'
        )
        ended = subprocess.run([self.binary, "run", pipeline, "--quiet", "--threads", "1"], capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            return ended.stderr.strip()
        audit = json.loads(next(output.glob("runs/*/audit.json")).read_text())
        shutil.rmtree(output)
        return audit["conservation"]["repayments"]["left_out"]


def compare(program, kinds, asked, answered, number):
    """What disagrees about one expression over two widths, and how many pairs were compared."""
    pairs = list(itertools.product(values(kinds[0]), values(kinds[1])))
    results = expected(pairs, answered)
    doubles = any(isinstance(result, float) for result in results)
    fits = [doubles or result is None or LEAST <= result <= MOST for result in results]
    outside = [pair for pair, fit in zip(pairs, fits) if not fit]
    near = [any(value is not None and abs(value) >= EDGE for value in (*pair, result)) for pair, result in zip(pairs, results)]
    edge = [(pair, result) for pair, result, fit, at_edge in zip(pairs, results, fits, near) if fit and at_edge]
    inside = [pair for pair, fit, at_edge in zip(pairs, fits, near) if fit and not at_edge]
    results = [result for result, fit, at_edge in zip(results, fits, near) if fit and not at_edge]
    found, name = [], f"{number}-{kinds[0]}-{kinds[1]}"
    path = program.scratch / f"{name}.parquet"
    export(path, kinds, inside, results, doubles)
    condition = f"({asked}) = expected OR (({asked}) IS NULL AND expected IS NULL)"
    left_out = program.left_out(name, path, condition)
    if left_out != 0:
        found.append(f"{asked} of {kinds}: {left_out} of {len(inside)} pairs are other than DuckDB says")
    wrong = program.left_out(name + "-wrong", path, f"({asked}) = expected + 1 OR (({asked}) IS NULL AND expected IS NOT NULL)")
    if wrong != len(inside) and not doubles:
        found.append(f"{asked} of {kinds}: {wrong} instead of all pairs are left out when all are wrong")
    # Near the edge of 64 bits the program may stop although the result would fit; it must not say another one.
    for pair, result in random.Random(number).sample(edge, min(len(edge), AT_EDGE)):
        export(path, kinds, [pair], [result], doubles)
        said = program.left_out(name + "-edge", path, condition)
        if said != 0 and "64-bit" not in str(said):
            found.append(f"{asked} of {kinds}: {pair} is {result}, and the program says {said}")
    for pair in (outside[0], outside[-1]) if outside else ():
        export(path, kinds, [pair], [0], doubles=False)
        said = program.left_out(name + "-outside", path, f"({asked}) = expected")
        if "64-bit" not in str(said):
            found.append(f"{asked} of {kinds}: {pair} leaves 64 bits, and the program says {said}")
    return found, len(pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sesame", required=True, type=Path, help="the program")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        program = Program(arguments.sesame.resolve(), Path(folder))
        tasks = [((one, other), *e) for one, other in itertools.product(WIDTHS, WIDTHS) for e in BINARY.items()]
        tasks += [((one, "int64"), *e) for one in WIDTHS for e in UNARY.items()]
        done = list(pool.map(lambda task: compare(program, *task[1], task[0]), [(n, task) for n, task in enumerate(tasks)]))
    found = [text for texts, _ in done for text in texts]
    print("\n".join(found))
    print(f"{len(tasks)} expressions, {sum(pairs for _, pairs in done):,} pairs: {len(found)} disagreements")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
