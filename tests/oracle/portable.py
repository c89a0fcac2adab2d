"""Holds the SQL that `sesame plan --sql` prints against the kernel: DuckDB and Polars compute it over the same rows.

    python tests/oracle/portable.py FOLDER

FOLDER is what `tests/sesame/oracle.rs` writes: `features.sql`, and for each bucket the tables that it reads and the kernel's
features as `expected.parquet`. Values must be equal to the bit. Exits 1 if one differs.
"""

import sys
from pathlib import Path

import duckdb
import polars


def of_duckdb(statement, tables):
    connection = duckdb.connect()
    for table in tables:
        connection.execute(f"CREATE VIEW {table.stem} AS FROM read_parquet('{table}')")
    return polars.from_arrow(connection.sql(statement).to_arrow_table())


def of_polars(statement, tables):
    frames = {table.stem: polars.scan_parquet(table) for table in tables}
    return polars.SQLContext(frames).execute(statement, eager=True)


def main():
    folder, wrong, values = Path(sys.argv[1]), 0, 0
    statement = (folder / "features.sql").read_text()
    buckets = sorted(folder.glob("bucket=*"))
    for bucket in buckets:
        expected = polars.read_parquet(bucket / "expected.parquet")
        tables = [table for table in bucket.glob("*.parquet") if table.stem != "expected"]
        for name, engine in (("DuckDB", of_duckdb), ("Polars", of_polars)):
            found = engine(statement, tables).sort("subject_id")
            for column in expected.columns:
                mine, theirs = expected[column], found[column].cast(expected[column].dtype)
                values += len(mine)
                differs = (~mine.eq_missing(theirs)).arg_true()
                if len(mine) != len(theirs) or len(differs):
                    wrong += 1
                    at = differs[0] if len(differs) else None
                    print(f"{name}, {bucket.name}, {column}, subject {at}: kernel {mine[at]}, SQL {theirs[at]}")
    print(f"{values} values of {len(buckets)} buckets, {wrong} columns differ")
    return 1 if wrong or not values else 0


if __name__ == "__main__":
    sys.exit(main())
