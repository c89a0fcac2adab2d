"""Holds the SQL that `sesame export --format sql` writes against a run: DuckDB computes it over the run's own features.

    sesame export MODEL --segment SEGMENT --format sql --out card.sql
    python tests/oracle/exported.py RUN SEGMENT card.sql

RUN is a run's folder, of the same model and currency. Friends are left out of the SQL, so only subjects are compared of whose
friends nothing is told, and those of a segment in which relationships weigh nothing. Score, base and points must be equal, also
with NaN for null. Exits 1 if one differs, or if there is nothing to compare.
"""

import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from alone import rows, score


def with_nan(features):
    """The same, with NaN where a number is missing."""
    columns = [pc.fill_null(c, float("nan")) if pa.types.is_floating(c.type) else c for c in features.columns]
    return pa.table(columns, names=features.column_names)


def main():
    run, segment, statement = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text()
    scores, features = rows(run, segment)
    wrong = values = 0
    for missing, table in (("null", features), ("NaN", with_nan(features))):
        connection = duckdb.connect()
        connection.register("features", table)
        found = {row["subject_id"]: row for row in connection.sql(statement).to_arrow_table().to_pylist()}
        for expected in scores:
            row = found.pop(expected["subject_id"])
            mine = {name: expected[name] for name in row if name.startswith("points_")}
            mine |= {"score": score(expected), "base": score(expected) - sum(mine.values())}
            for name, value in mine.items():
                values += 1
                if row[name] != value:
                    wrong += 1
                    print(f"{name} of {expected['subject_id']} with {missing}: run {value}, SQL {row[name]}")
        wrong += len(found)
    print(f"{len(scores)} subjects of {segment}, {values} values, {wrong} differ")
    return 1 if wrong or not values else 0


if __name__ == "__main__":
    sys.exit(main())
