"""Does DuckDB, over the same visible rows, yield the kernel's features, row by row and bit by bit?

    cargo bench --bench visible_rows -- /tmp/visible pipelines/nightly.toml
    python benches/peers/duckdb_equal.py /tmp/visible

Ends with 1 and names the columns that differ, if any do.
"""
import sys
from pathlib import Path

import duckdb


def main():
    folder = Path(sys.argv[1])
    con = duckdb.connect()
    for file in folder.glob("*.parquet"):
        con.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM '{file}'")
    sql = (folder / "features.sql").read_text()
    con.execute(f"CREATE TABLE duck AS {sql}")
    columns = [c[0] for c in con.execute("DESCRIBE kernel").fetchall() if c[0] != "subject_id"]
    subjects, = con.execute("SELECT count(*) FROM duck JOIN kernel USING (subject_id)").fetchone()
    expected, = con.execute("SELECT count(*) FROM kernel").fetchone()
    tests = ", ".join(f'count(*) FILTER (WHERE k."{c}" IS DISTINCT FROM d."{c}")' for c in columns)
    counts = con.execute(f"SELECT {tests} FROM kernel k JOIN duck d USING (subject_id)").fetchone()
    different = {c: n for c, n in zip(columns, counts) if n}
    print(f"{subjects} of {expected} subjects, {len(columns)} columns, {len(different)} of them different {different or ''}")
    sys.exit(0 if subjects == expected and not different else 1)


if __name__ == "__main__":
    main()
