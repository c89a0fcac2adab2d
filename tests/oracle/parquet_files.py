"""Writes rows as Parquet in many shapes: several files and small row groups, Hive folders, any unit of time, any width."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from exports import NANOSECONDS

FRACTIONS = pa.decimal128(20, 2)


class Layout:
    """How one table is laid out: chosen once, so that all files of a table agree.

    `samples` holds, by column, an id of the kind that the column has in every table, even where it is all null.
    """

    def __init__(self, chance, flat, samples):
        self.random, self.samples = chance, samples
        self.files = chance.choice([1, 1, 2, 3])
        self.is_folder = self.files > 1 or not flat
        self.is_hive = self.is_folder and chance.random() < 0.6
        self.row_group_size = chance.choice([1, 3, 10, 1000])
        self.unit = chance.choice(["s", "ms", "us", "us", "ns"])
        self.money = chance.choice([pa.int64(), pa.int64(), pa.decimal128(18, 0), FRACTIONS])
        self.count = chance.choice([pa.int32(), pa.int64()])
        self.share = chance.choice([pa.float64(), pa.float64(), pa.float32()])
        self.text = chance.choice([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
        self.keeps_empty_columns = chance.random() < 0.5


def write_table(table, rows, folder, layout):
    """Writes a table's rows below the folder and returns what the pipeline file names."""
    columns = {name: column["type"] for name, column in table.columns.items()}
    if not layout.keeps_empty_columns:
        required = {name for name, column in table.columns.items() if column.get("required")}
        columns = {
            name: kind
            for name, kind in columns.items()
            if name in required or any(row.get(name) is not None for row in rows)
        }
    whole = pa.table({name: _array(name, [row.get(name) for row in rows], kind, layout) for name, kind in columns.items()})
    if not layout.is_folder:
        path = Path(folder) / f"{table.name}.parquet"
        _write(whole, path, layout)
        return str(path)
    base = Path(folder) / table.name
    by_text = _column_of_text(table, rows, layout)
    for number in range(layout.files):
        places = range(number, len(rows), layout.files)
        if not by_text:
            folders = f"year={2023 + number}/month=02" if layout.is_hive else "."
            _write(_taken(whole, places), base / folders / f"part-{number}.parquet", layout)
            continue
        for text in sorted({rows[place][by_text] for place in places}):
            part = _taken(whole, [place for place in places if rows[place][by_text] == text])
            _write(part.drop_columns([by_text]), base / f"{by_text}={text}" / f"part-{number}.parquet", layout)
    return str(base if layout.random.random() < 0.7 else base / "**/*.parquet")


def _taken(table, places):
    return table.take(pa.array(places, pa.int64()))


def _column_of_text(table, rows, layout):
    """A column of words without a null that the folders name instead of the files, for some Hive layouts."""
    kinds = ("choice", "currency")
    told = [
        name
        for name, one in table.columns.items()
        if one["type"] in kinds and all(row.get(name) is not None for row in rows)
    ]
    return layout.random.choice(told) if layout.is_hive and told and rows and layout.random.random() < 0.4 else None


def _write(table, path, layout):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=layout.row_group_size)


def _array(name, values, kind, layout):
    """One column in the layout's type."""
    if kind == "id":
        return _identities(values, layout.samples.get(name), layout)
    if kind == "date":
        return pa.array(values, pa.int32()).cast(pa.date32())
    if kind == "instant":
        unit = NANOSECONDS[layout.unit]
        counts = pa.array([None if value is None else value // unit for value in values], pa.int64())
        return counts.cast(pa.timestamp(layout.unit, tz="UTC"))
    if kind == "money":
        return pa.array([None if value is None else _amount(value, layout.money) for value in values], layout.money)
    types = {"count": layout.count, "flag": pa.bool_(), "share": layout.share}
    return pa.array(values, types.get(kind, layout.text))


def _amount(value, kind):
    """An amount as its column holds it; a fraction is cut off where there is no room for it."""
    if not pa.types.is_decimal(kind):
        return int(value)
    return Decimal(value) if kind == FRACTIONS else Decimal(int(value))


def _identities(values, sample, layout):
    """Text, integers, or bytes of one width."""
    sample = next((value for value in [sample, *values] if value is not None), "")
    if isinstance(sample, int):
        return pa.array(values, pa.int64())
    if isinstance(sample, bytes):
        return pa.array(values, pa.binary(len(sample)))
    return pa.array(values, layout.text)
