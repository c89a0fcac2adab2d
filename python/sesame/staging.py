"""Staging: rows written as Parquet by shard, once for each state of the tables; what is complete is used again.

Every table is written to a folder of a name that no one else has, and a marker names that folder when all of it is there. So
tasks that a killed driver left behind write to what nothing names.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sesame.tables import FILE, MODIFIED, READING, ROW, SHARD, SIZE, Described, Refused, is_divided, shard_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TABLES = "tables.json"
DISPUTED = "disputed_subjects"


def lock(folder: Path) -> IO[str]:
    """Keeps a second driver out; the lock goes with the process. It lies beside the folder, which may be removed while it is held."""
    held = folder.with_name(f".{folder.name}.lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Refused(f"another driver works in {folder}") from None
    return held


def folder_of(staging: Path, shards: int, described: list[Described], session: dict[str, str]) -> Path:
    """The folder for one state of all tables, and one way in which a session reads them: another one has another."""
    state = hashlib.sha256(json.dumps([shards, READING, session], sort_keys=True).encode())
    for table in sorted(described, key=lambda of: of.source.table):
        state.update(f" {table.source.table} {table.digest()}".encode())
    return staging / f"sesame-{state.hexdigest()[:16]}"


def replace(path: Path, text: str) -> None:
    """Writes a file that is there as a whole or not at all."""
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with beside.open("w") as to:
        to.write(text)
        to.flush()
        os.fsync(to.fileno())
    beside.rename(path)


def remove(folder: Path) -> None:
    """Removes a folder that nobody will use again. It has another name first, so that what cannot be removed is not used either."""
    gone = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}.done")
    try:
        folder.rename(gone)
    except OSError:
        gone = folder
    shutil.rmtree(gone, ignore_errors=True)
    if gone.exists():
        print(f"sesame.spark: {gone} stays; remove it", file=sys.stderr)


def listing(folder: Path) -> dict[str, int]:
    """The Parquet files below a folder, with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*.parquet"))}


def digest(rows: str, files: dict[str, int]) -> str:
    """The hash of what a marker says."""
    return hashlib.sha256(json.dumps([rows, files], sort_keys=True).encode()).hexdigest()


def mark(folder: Path, name: str, rows: str) -> None:
    """Says that the rows of a table are complete, and in which folder."""
    files = listing(folder / rows)
    replace(folder / f"{name}.json", json.dumps({"rows": rows, "files": files, "sha256": digest(rows, files)}))


def marked(folder: Path, name: str) -> str | None:
    """The folder with the complete rows of a table, if there is one and every file is there in its size.

    What is in a page is vouched for by its checksum.
    """
    try:
        said: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        rows, files = said["rows"], said["files"]
        whole = said["sha256"] == digest(rows, files) and listing(folder / rows) == files
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows if whole else None


def plain(rows: "DataFrame") -> "DataFrame":
    """Without what only describes files."""
    return rows.drop(SIZE, MODIFIED)


def divide(rows: "DataFrame", table: str, shards: int, to: Path) -> None:
    """Writes the rows of each shard to a folder of its own.

    It goes by a hash of the subject, which a task that is tried again finds again: nothing is lost or doubled.
    Every shard has a file, of no rows if need be: a table without rows is not a table that is not there.
    """
    if SHARD in [name.lower() for name in rows.columns]:
        raise Refused(f"tables.{table}: a column is called {SHARD}; leave it out in `columns`")
    kind = rows.schema["subject_id"].dataType.simpleString()
    by_shard = rows.selectExpr("*", f"{shard_of(kind, shards, table)} AS {SHARD}")
    by_shard = by_shard.repartition(shards, SHARD).sortWithinPartitions(SHARD, FILE, ROW)
    by_shard.write.partitionBy(SHARD).parquet(str(to))
    empty = [shard for shard in range(shards) if not any((to / f"{SHARD}={shard}").glob("*.parquet"))]
    if not empty:
        return
    nothing = to.with_name(f"{to.name}.none")
    rows.limit(0).coalesce(1).write.parquet(str(nothing))
    of_none = next(iter(nothing.glob("*.parquet")))
    for shard in empty:
        (to / f"{SHARD}={shard}").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(of_none, to / f"{SHARD}={shard}" / "none.parquet")
    shutil.rmtree(nothing)


def stage(folder: Path, name: str, rows: "DataFrame", shards: int | None) -> str:
    """The folder with the rows of a table, divided into shards where a number is given; written unless it is complete."""
    done = marked(folder, name)
    if done is not None:
        return done
    to = folder / f"{name}-{uuid.uuid4().hex}"
    if shards is not None:
        divide(plain(rows), name, shards, to)
    else:
        plain(rows).write.parquet(str(to))
    mark(folder, name, to.name)
    return to.name


def all_tables(folder: Path, read: dict[str, "DataFrame"], described: list[Described], shards: int) -> None:
    """Stages all tables, and then says so in `tables.json`."""
    tables = []
    for table in described:
        name = table.source.table
        divided = is_divided(read[name].columns, name)
        rows = stage(folder, name, read[name], shards if divided else None)
        tables.append({"table": name, "rows": rows, "divided": divided, "files": [asdict(file) for file in table.files]})
        print(f"staged {name}", flush=True)
    said: dict[str, Any] = {"schema": 1, "shards": shards, "tables": tables}
    # A dispute need not say whose record it is about.
    if "disputes" in read and "subject_id" in read["disputes"].columns:
        named = plain(read["disputes"]).select("subject_id").where("subject_id IS NOT NULL").distinct()
        said[DISPUTED] = stage(folder, DISPUTED, read["subjects"].join(named, "subject_id", "left_semi"), None)
    replace(folder / TABLES, json.dumps(said, indent=1) + "\n")
