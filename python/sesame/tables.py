"""The tables of a run as Spark reads them: which version of each, and where each of its rows was."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

#: Columns with the place of a row, as `sesame shard rate` expects them.
FILE, ROW = "_file", "_row"

#: The column that rows are divided by, and the name of its folders.
SHARD = "shard"

FORMATS = ("parquet", "delta", "iceberg", "table")

#: Columns that say of a row's file how large it is and when it was changed; they are not staged.
SIZE, MODIFIED = "_size", "_modified"

#: A number that changes when rows are read in another way: then they are staged anew, and the run is another one.
READING = 2


class Refused(ValueError):
    """What was asked for cannot be; the message says what to do."""


@dataclass(frozen=True)
class Numbers:
    """The row numbers of a file, in whatever order: their sum and that of their squares, modulo 2^64."""

    sum: int = 0
    squares: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known of a file."""

    rows: int
    size: int = 0
    modified: int | None = None
    numbers: Numbers = Numbers()


@dataclass(frozen=True)
class Source:
    """Where a table is: a path or a name, in a format, at a version."""

    table: str
    format: str
    at: str
    version: str | None = None
    columns: tuple[str, ...] = ()
    id: str | None = None


@dataclass(frozen=True)
class StagedFile:
    """A file of a table, as `tables.json` tells it."""

    label: str
    place: str
    rows: int
    bytes: int
    version: str
    numbers: Numbers = Numbers()


@dataclass(frozen=True)
class Described:
    """A table at a version, with its files."""

    source: Source
    files: tuple[StagedFile, ...] = field(default_factory=tuple)

    def digest(self) -> str:
        """What tells this state of the table from others."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def source(table: str, said: dict[str, Any], base: Path) -> Source:
    """Reads the entry of a table: `parquet`, `delta`, `iceberg` or `table` with its place, `version`, `columns`.

    A relative path is one below `base`.
    """
    kinds = [kind for kind in FORMATS if kind in said]
    others = set(said) - set(FORMATS) - {"version", "columns"}
    if len(kinds) != 1 or others:
        told = f"not {', '.join(sorted(others))}" if others else f"one of {', '.join(FORMATS)}"
        raise Refused(f"tables.{table}: give {told}")
    kind = kinds[0]
    if "version" in said and kind not in ("delta", "iceberg"):
        raise Refused(f"tables.{table}: only delta and iceberg have a version")
    version = str(said["version"]) if "version" in said else None
    at = str(said[kind])
    if "://" not in at and (kind == "parquet" or (kind == "delta" and "/" in at)):
        at = os.path.normpath(base / at)
    return Source(table, kind, at, version, tuple(said.get("columns", ())))


def pinned(spark: "SparkSession", of: Source) -> Source:
    """The same at the version that is current now, where the format has versions."""
    if of.format == "delta":
        detail = told(spark, of, f"DESCRIBE DETAIL {delta_name(of.at)}")
        version = of.version or told(spark, of, f"DESCRIBE HISTORY {delta_name(of.at)} LIMIT 1")["version"]
        return replace(of, version=str(version), id=detail["id"])
    if of.format == "iceberg" and of.version is None:
        current = told(spark, of, f"SELECT snapshot_id FROM {of.at}.refs WHERE name = 'main'")
        return replace(of, version=str(current["snapshot_id"]))
    return of


def told(spark: "SparkSession", of: Source, query: str) -> "Row":
    """The one row that a query about a table gives."""
    row = spark.sql(query).first()
    if row is None:
        raise Refused(f"tables.{of.table}: {of.at} has no version yet")
    return row


def delta_name(at: str) -> str:
    """How SQL names a Delta table: a path is quoted, a name is not."""
    return f"delta.`{at}`" if "/" in at else at


def read(spark: "SparkSession", of: Source) -> "DataFrame":
    """The rows of a table at its version, in the contract's columns, with the place of each."""
    if of.format == "parquet":
        rows = parquet(spark, of)
    elif of.format == "table":
        # The session remembers the files of tables that it read before.
        spark.catalog.refreshTable(of.at)
        rows = spark.table(of.at)
    elif of.format == "delta":
        reader = spark.read.option("versionAsOf", of.version)
        rows = reader.format("delta").load(of.at) if "/" in of.at else reader.table(of.at)
    else:
        rows = spark.read.option("snapshot-id", of.version).format("iceberg").load(of.at)
    columns = of.columns or tuple(f"`{name}`" for name in rows.columns)
    placed = rows.selectExpr(*columns, *places(of.format))
    names = [name.lower() for name in placed.columns]
    for name in (FILE, ROW, SIZE, MODIFIED):
        if names.count(name) > 1:
            raise Refused(f"tables.{of.table}: a column is called {name}; leave it out in `columns`")
    return placed


def hold_nothing(spark: "SparkSession", of: Source, paths: list[str]) -> None:
    """Refuses a file of which no row came, and that has some: Spark drops those that lie beside folders of partitions."""
    if not paths:
        return
    by_themselves = spark.read.option("recursiveFileLookup", "true").option("mergeSchema", "false")
    row = by_themselves.parquet(*paths).select("_metadata.file_path").first()
    if row is not None:
        raise Refused(f"tables.{of.table}: Spark does not read {path_of(row[0])}: it lies in no partition's folder; move it")


def is_pattern(at: str) -> bool:
    """Whether a path is a pattern of paths."""
    return any(sign in at for sign in "*?[")


def fixed_part(at: str) -> str:
    """The folders of a pattern before its first wildcard; of any other path all of it."""
    while is_pattern(at):
        at = os.path.dirname(at)
    return at


def parquet(spark: "SparkSession", of: Source) -> "DataFrame":
    """The rows of Parquet files, with the columns that their paths give."""
    # Of a pattern, Spark would take what each match is for the top.
    reader = spark.read.option("basePath", fixed_part(of.at)) if is_pattern(of.at) else spark.read
    rows = reader.parquet(of.at)
    return in_all_files(spark, rows) if of.table == "groups" and not of.columns else rows


def in_all_files(spark: "SparkSession", rows: "DataFrame") -> "DataFrame":
    """The columns that all files have, and those that paths give: no other one names groups."""
    files = [set(spark.read.parquet(path_of(place)).columns) for place in rows.inputFiles()]
    some = set().union(*files) - set(files[0]).intersection(*files) if files else set()
    return rows.drop(*some)


def listed(spark: "SparkSession", at: str) -> tuple[str, list[str], list[str]]:
    """What the file system has at a path or pattern: the top folder, the files that are named, and those below folders that are."""
    hadoop = spark._jvm.org.apache.hadoop.fs
    path = hadoop.Path(at)
    system = path.getFileSystem(spark._jsc.hadoopConfiguration())
    top = system.makeQualified(hadoop.Path(fixed_part(at))).toUri().toString()
    named: list[str] = []
    below: list[str] = []
    for found in system.globStatus(path) or []:
        if not found.isDirectory():
            named.append(found.getPath().toUri().toString())
            continue
        files = system.listFiles(found.getPath(), True)
        while files.hasNext():
            below.append(files.next().getPath().toUri().toString())
    return top, named, below


def same_files(of: Source, top: str, named: Iterable[str], below: Iterable[str], seen: Iterable[str]) -> None:
    """Refuses a table of which Spark reads other files than the program would: those that are named, and all that are called
    *.parquet below folders that are, but for hidden ones.
    """
    root = path_of(top).rstrip("/") + "/"

    def is_hidden(path: str) -> bool:
        return any(part.startswith((".", "_")) for part in path.removeprefix(root).split("/"))

    paths = {path for path in map(path_of, below) if path.lower().endswith(".parquet") and not is_hidden(path)}
    paths |= {path for path in map(path_of, named) if path == root.rstrip("/") or not is_hidden(path)}
    read = set(map(path_of, seen))
    if lost := paths - read:
        raise Refused(f"tables.{of.table}: Spark does not read {min(lost)}: it lies in no partition's folder; move it")
    if strange := read - paths:
        raise Refused(f"tables.{of.table}: {min(strange)} is not named *.parquet, or is hidden; take it out")


def places(kind: str) -> tuple[str, ...]:
    """What tells the place of a row, and of its file how large it is and when it was changed."""
    if kind == "iceberg":
        of_file = (f"CAST(0 AS BIGINT) AS {SIZE}", f"CAST(NULL AS TIMESTAMP) AS {MODIFIED}")
        return (f"_file AS {FILE}", f"_pos AS {ROW}", *of_file)
    told = {FILE: "file_path", ROW: "row_index", SIZE: "file_size", MODIFIED: "file_modification_time"}
    return tuple(f"_metadata.{name} AS {column}" for column, name in told.items())


def describe(spark: "SparkSession", rows: "dict[str, DataFrame]", sources: Iterable[Source]) -> list[Described]:
    """The files of all tables with their rows, in one pass."""
    from pyspark.sql import functions as sql

    def places_in(table: str) -> "DataFrame":
        return rows[table].select(sql.lit(table).alias("of"), sql.col(FILE).alias("place"), ROW, SIZE, MODIFIED)

    everything = reduce(lambda one, other: one.unionByName(other), map(places_in, rows))
    # Squares of large numbers do not fit 64 bits, so they are added up in two halves.
    high, low = f"SHIFTRIGHT({ROW}, 16)", f"({ROW} & 65535)"
    sums = {"total": ROW, "high": f"{high} * {high}", "cross": f"{high} * {low}", "low": f"{low} * {low}"}
    by_file = everything.groupBy("of", "place").agg(
        sql.count("*").alias("rows"),
        sql.max(SIZE).alias("size"),
        sql.unix_micros(sql.max(MODIFIED)).alias("modified"),
        *(sql.expr(f"SUM({of})").alias(name) for name, of in sums.items()),
    )
    found: dict[str, dict[str, Facts]] = {table: {} for table in rows}
    for row in by_file.collect():
        squares = (row["high"] << 32) + (row["cross"] << 17) + row["low"]
        numbers = Numbers(row["total"] % 2**64, squares % 2**64)
        found[row["of"]][row["place"]] = Facts(row["rows"], row["size"] or 0, row["modified"], numbers)
    # A pattern of files knows those without rows as well; of tables with versions they do not matter.
    more = {of.table: rows[of.table].inputFiles() if of.format == "parquet" else [] for of in sources}
    for of in sources:
        if of.format == "parquet":
            same_files(of, *listed(spark, of.at), [*found[of.table], *more[of.table]])
            known = set(map(path_of, found[of.table]))
            hold_nothing(spark, of, [path_of(place) for place in more[of.table] if path_of(place) not in known])
    return [described(of, found[of.table], more[of.table]) for of in sources]


def described(of: Source, facts: dict[str, Facts], more: Iterable[str]) -> Described:
    """A table by what is known of its files; those in `more` may have no rows. One without any has one file without rows."""
    known = {path_of(place) for place in facts}
    facts = facts | {place: Facts(0) for place in more if path_of(place) not in known}
    facts = facts or {"none": Facts(0)}
    names = labels(list(facts), of.at if "/" in of.at else None)
    files = []
    for place in sorted(facts, key=lambda place: names[place]):
        file = facts[place]
        version = version_of(of, names[place], file.size, file.modified)
        files.append(StagedFile(names[place], place, file.rows, file.size, version, file.numbers))
    return Described(of, tuple(files))


def version_of(of: Source, label: str, size: int, modified: int | None) -> str:
    """What stands for the content of a file: the table's version, or what the file system tells.

    What is computed of its columns counts as well, and how rows are read.
    """
    computed = f" read={READING}"
    computed += f" columns={hashlib.sha256(json.dumps(of.columns).encode()).hexdigest()[:16]}" if of.columns else ""
    if of.version is not None:
        return f"{of.format}:{of.id or of.at}@{of.version}{computed}"
    return f"file:{label} size={size} modified={modified}{computed}"


def path_of(place: str) -> str:
    """The path of a place that may be a URI, as people write it."""
    if place.startswith("file:"):
        return "/" + unquote(place[len("file:") :]).lstrip("/")
    return unquote(place) if "://" in place else place


def labels(found: list[str], root: str | None) -> dict[str, str]:
    """What files are called in reports: their paths below the table's folder, as the program calls them."""
    paths = {place: path_of(place) for place in found}
    fixed = fixed_part(path_of(root).rstrip("/")) if root else ""
    parents = [os.path.dirname(path) for path in paths.values()]
    folder = fixed if fixed and all(parent == fixed or parent.startswith(fixed + "/") for parent in parents) else ""
    if not folder:
        folder = "/".join(os.path.commonprefix([parent.split("/") for parent in parents]))
    return {place: path[len(folder) :].lstrip("/") if folder else path for place, path in paths.items()}


def is_divided(columns: Iterable[str], table: str) -> bool:
    """Whether every row is one subject's; disputes go to every shard, as one need not say whose record it is about."""
    return "subject_id" in columns and table != "disputes"


def shard_of(kind: str, shards: int, table: str = "") -> str:
    """SQL for the shard of a row, by the type of its subject's id. Integers of any width are hashed as one."""
    if kind in ("tinyint", "smallint", "int", "bigint"):
        key = "CAST(subject_id AS BIGINT)"
    elif kind == "string" or kind.startswith(("varchar", "char")):
        key = "CAST(subject_id AS STRING)"
    else:
        raise Refused(f"tables.{table}: subject_id is {kind}; ids are text or integers: cast it in `columns`")
    return f"CASE WHEN subject_id IS NULL THEN 0 ELSE CAST(PMOD(XXHASH64({key}), {shards}) AS INT) END"
