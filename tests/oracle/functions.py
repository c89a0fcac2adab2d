"""Holds the reference of SQL (`src/expression/functions.toml`) against DuckDB: every example must give what the file says.

    python tests/oracle/functions.py

A test of the suite holds the program against the same file. Exits 1 if an example gives something else.
"""

import sys
import tomllib
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]


def text(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def main():
    with open(ROOT / "src/expression/functions.toml", "rb") as file:
        reference = tomllib.load(file)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    examples = []
    for entry in reference["word"] + reference["function"]:
        if "example" in entry:
            examples.append((entry.get("duckdb", entry["example"]), entry["gives"]))
        examples += entry.get("also", [])
    wrong = 0
    for expression, gives in examples:
        try:
            found = text(connection.execute(f"SELECT {expression}").fetchall()[0][0])
        except duckdb.Error as error:
            found = f"an error: {error}"
        if found != gives:
            wrong += 1
            print(f"{expression}: {found!r}, and not {gives!r}")
    print(f"{len(examples)} expressions, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
