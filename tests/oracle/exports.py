"""The contract, and exports read into rows of plain Python values.

Dates are day numbers, instants nanoseconds of whole microseconds, counts and whole amounts `int`, an amount with a
fraction `Decimal`, ids whatever the export has (text, bytes, integers). A column that an export does not have is null.
"""

import glob
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from times import MICROSECOND

ROOT = Path(__file__).resolve().parents[2]
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass
class Table:
    """A table of the contract with its common columns."""

    name: str
    key: list
    event: str | None
    columns: dict
    computed: list
    adverse: str | None
    adverse_amount: str | None

    def ids(self):
        """Names of the columns that hold ids."""
        return [name for name, column in self.columns.items() if column["type"] == "id"]


@dataclass
class Contract:
    """All tables by name, and the limits that rows are held against."""

    tables: dict
    limits: dict

    @classmethod
    def load(cls):
        with open(ROOT / "src/contract/contract.toml", "rb") as file:
            text = tomllib.load(file)
        common = {column["name"]: column for column in text["common"]["columns"]}
        tables = {}
        for table in text["table"]:
            columns = {column["name"]: column for column in table["columns"]}
            columns |= {name: common[name] for name in table.get("common", [])}
            optional = [table.get("computed", []), table.get("adverse"), table.get("adverse_amount")]
            tables[table["name"]] = Table(table["name"], table["key"], table.get("event"), columns, *optional)
        return cls(tables, text["limits"])


@dataclass(eq=False)
class Row:
    """One row of an export: its values by column, where it stands, and what becomes of it.

    file         as the program names it: relative to the export's folder
    fate         the class the row is counted under
    broken       rule and column of a quarantined row
    dropped      why a friend link is no tie
    known        when the row became known, in nanoseconds
    reliability  of its source, in thousandths
    """

    values: dict
    file: str
    number: int
    fate: str = "used"
    broken: tuple | None = None
    dropped: str | None = None
    known: float | None = None
    reliability: int = 1000


def read(table, place):
    """All rows of a table's export: a file, a folder (Hive-partitioned or not) or a pattern."""
    rows = []
    for path, name in _files(Path(place)):
        rows.extend(_rows_of(table, path, name))
    return rows


def _files(place):
    """Files of an export, each with its name: relative to its folder, or to what a pattern begins with."""
    if place.is_file():
        return [(place, Path(place.name))]
    if place.is_dir():
        paths, base = place.rglob("*.parquet"), place
    else:
        paths = map(Path, glob.glob(str(place), recursive=True))
        base = next(folder for folder in place.parents if "*" not in str(folder))
    return [(path, path.relative_to(base)) for path in sorted(paths)]


def _rows_of(table, path, name):
    """The rows of one file; a column that the file does not have is taken from `column=value` folders, if one names it."""
    content = pq.ParquetFile(path).read()
    partitions = dict(part.split("=", 1) for part in name.parent.parts if "=" in part)
    columns = {}
    for column in table.columns:
        if column in content.column_names:
            columns[column] = _plain(content.column(column), column == "known_at")
        else:
            columns[column] = [partitions.get(column)] * content.num_rows
    return [
        Row({column: values[number] for column, values in columns.items()}, str(name), number)
        for number in range(content.num_rows)
    ]


def _plain(column, upwards=False):
    """A column's values as plain Python values."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).to_pylist()
    if pa.types.is_timestamp(kind):
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else _instant(count * NANOSECONDS[kind.unit], upwards) for count in counts]
    if pa.types.is_decimal(kind):
        return [_whole(value) for value in column.to_pylist()]
    return column.to_pylist()


def _instant(nanoseconds, upwards):
    """A whole microsecond: the next one for `known_at`, the one before for every other instant."""
    return nanoseconds + -nanoseconds % MICROSECOND if upwards else nanoseconds - nanoseconds % MICROSECOND


def _whole(value):
    """A decimal as an integer where it is whole."""
    return int(value) if value is not None and value == Decimal(int(value)) else value
