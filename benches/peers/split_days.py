"""A population as it is exported night after night: of the last folder of each table of events, a file for each last day.

    python benches/peers/split_days.py /tmp/population /tmp/nights 2025-10-28 2025-10-29 2025-10-30

Writes into /tmp/nights/exports what is known until the end of the first day, and into /tmp/nights/<day> for each day
after it the files that a night adds, at their places below `exports`: the rows that became known on that day, in the
order they had. Rows that became known after the last day are left out. Files that are not divided are linked, or copied
to another disk, and registers stay what they are: a real export writes them anew as well.
"""
import argparse
import os
import shutil
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def known(batch, day):
    """Which rows are known by the end of a day; a row that does not tell is known from the beginning."""
    end = pa.scalar(datetime.combine(day + timedelta(days=1), datetime.min.time(), timezone.utc), batch["known_at"].type)
    return pc.fill_null(pc.less(batch["known_at"], end), True)


def divide(source, places, days):
    """Writes the rows of a file to one place for each day; a day without rows has no file."""
    file = pq.ParquetFile(source)
    writers = {}
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        before = None
        for place, day in zip(places, days):
            now = known(table, day)
            rows = table.filter(now if before is None else pc.and_not(now, before))
            before = now
            if not rows.num_rows:
                continue
            if day not in writers:
                place.parent.mkdir(parents=True, exist_ok=True)
                writers[day] = pq.ParquetWriter(place, file.schema_arrow, compression="zstd")
            writers[day].write_table(rows, row_group_size=file.metadata.row_group(group).num_rows)
    for writer in writers.values():
        writer.close()
    return set(writers)


def link(source, place):
    """The same file at another place."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path, help="new, or empty")
    parser.add_argument("days", type=date.fromisoformat, nargs="+", help="one after the other")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if any(args.folder.iterdir()) or sorted(set(args.days)) != args.days:
        parser.error("the folder must be empty, and the days in order")
    # The last folder by name: month=2025-10, or year=2025 of a small population.
    tables = [t for t in args.export.iterdir() if t.is_dir()]
    last = {max(folder for folder in table.iterdir() if folder.is_dir()) for table in tables}
    added = set()
    for source in sorted(args.export.rglob("*.parquet")):
        path = source.relative_to(args.export)
        if source.parent not in last:
            place = args.folder / "exports" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            link(source, place)
            continue
        first, *others = args.days
        places = [args.folder / "exports" / path]
        places += [args.folder / str(day) / path.with_stem(f"{path.stem}-{day}") for day in others]
        added |= divide(source, places, args.days)
    for day in args.days[1:]:
        if day not in added:
            raise SystemExit(f"no row of the last folders became known on {day}; choose days of the last month")


if __name__ == "__main__":
    main()
