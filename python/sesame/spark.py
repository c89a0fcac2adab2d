"""Runs sesame on Spark: `python -m sesame.spark run.toml`, or the same below spark-submit.

Spark reads the tables and divides their rows by subject; each task runs the program on one shard; the driver has the shards
gathered, and ends as that ends. See docs/spark.md.
"""

import argparse
import hashlib
import json
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sesame.attempt import Work, complete, dying_with_parent, ended, program, rate
from sesame.staging import all_tables, folder_of, lock, remove
from sesame.tables import Refused, Source, describe, pinned, read, source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: What the session must be like for a row to come out as it went in, and for a partition to be a shard.
SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # Columns that some files have alone.
    "spark.sql.parquet.mergeSchema": "true",
    # CHAR(n) as it was written.
    "spark.sql.readSideCharPadding": "false",
    # Instants are instants, and local times are not.
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.int96TimestampConversion": "false",
    "spark.sql.files.maxRecordsPerFile": "0",
}

#: The part of an executor's memory beside its heap that the program may hold rows in: it needs some beside them.
OF_OVERHEAD = 0.5

KEYS = {"pipeline", "shards", "staging", "binary", "threads", "memory", "plan", "gather", "keep", "tables", "spark"}


@dataclass(frozen=True)
class Run:
    """What run.toml asks for."""

    pipeline: Path
    shards: int
    staging: Path
    sources: tuple[Source, ...]
    binary: str | None
    threads: int | None
    memory: str | None
    plan: tuple[str, ...]
    gather: tuple[str, ...]
    keep: bool
    spark: dict[str, str]


def load(path: Path) -> Run:
    """Reads run.toml; paths of the pipeline and of the staging are relative to it."""
    said: dict[str, Any] = tomllib.loads(path.read_text())
    unknown = sorted(set(said) - KEYS)
    missing = sorted({"pipeline", "shards", "staging", "tables"} - set(said))
    if unknown or missing:
        what = f"{', '.join(unknown)} is not known" if unknown else f"{', '.join(missing)} is missing"
        raise Refused(f"{path}: {what}")
    base = path.resolve().parent
    if not isinstance(said["shards"], int) or not 1 <= said["shards"] <= 512:
        raise Refused(f"{path}: shards is a number from 1 to 512")
    return Run(
        pipeline=base / said["pipeline"],
        shards=said["shards"],
        staging=base / said["staging"],
        sources=tuple(source(name, of, base) for name, of in sorted(said["tables"].items())),
        binary=said.get("binary"),
        threads=said.get("threads"),
        memory=said.get("memory"),
        plan=tuple(said.get("plan", ())),
        gather=tuple(said.get("gather", ())),
        keep=bool(said.get("keep", False)),
        spark={name: str(value) for name, value in said.get("spark", {}).items()},
    )


def session(run: Run) -> "SparkSession":
    """The session, as run.toml and spark-submit have it, with what equal bytes need."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("sesame").config("spark.ui.showConsoleProgress", "false")
    for name, value in run.spark.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for name, value in (SESSION | {"spark.sql.shuffle.partitions": str(run.shards)}).items():
        spark.conf.set(name, value)
    return spark


def megabytes(size: str) -> int:
    """A size as Spark writes it, in MiB; a bare number is in MiB."""
    found = re.fullmatch(r"(\d+)\s*([kmgt]?)i?b?", size.strip().lower())
    if found is None:
        raise Refused(f"`{size}` is no size")
    factor = {"k": 1 / 1024, "": 1, "m": 1, "g": 1024, "t": 1024 * 1024}[found[2]]
    return int(int(found[1]) * factor)


def memory_below_overhead(conf: dict[str, str]) -> str:
    """What a task may hold rows in: its part of what the executor has beside its heap."""
    heap = megabytes(conf.get("spark.executor.memory", "1g"))
    factor = float(conf.get("spark.executor.memoryOverheadFactor", "0.1"))
    overhead = megabytes(conf.get("spark.executor.memoryOverhead", str(max(384, int(heap * factor)))))
    master = conf.get("spark.master", "")
    if "spark.executor.cores" not in conf and master.startswith(("spark://", "local")):
        raise Refused(
            f"on {master} an executor has all cores of its machine, so that nobody knows how many tasks share its memory: "
            "give `spark.executor.cores` in [spark], or `memory`"
        )
    slots = max(1, int(conf.get("spark.executor.cores", "1")) // int(conf.get("spark.task.cpus", "1")))
    return f"{max(16, int(overhead * OF_OVERHEAD / slots))}MB"


def child(args: list[str]) -> int:
    """Runs the program beside the driver, whose terminal is its own; it ends with the driver."""
    return subprocess.Popen(args, stdin=subprocess.DEVNULL, preexec_fn=dying_with_parent(signal.SIGTERM)).wait()


def plan(run: Run, staged: Path) -> Path:
    """Plans the shards over what is staged."""
    spec = staged / "spec.json"
    asked = ["--shards", str(run.shards), "--staged", str(staged), "--out", str(spec)]
    code = child([program(run.binary), "shard", "plan", str(run.pipeline), *asked, *run.plan])
    if code != 0:
        raise Refused(f"the shards were not planned: {ended(code)}")
    return spec


def rated_of(spec: Path) -> Path:
    """The folder with the shards of a plan."""
    return spec.parent / f"rated-{hashlib.sha256(spec.read_bytes()).hexdigest()[:16]}"


def machine(spark: "SparkSession", run: Run) -> tuple[int, str]:
    """Threads and memory of each task."""
    conf = dict(spark.sparkContext.getConf().getAll())
    return run.threads or int(conf.get("spark.task.cpus", "1")), run.memory or memory_below_overhead(conf)


def rate_all(spark: "SparkSession", run: Run, spec: Path, threads: int, memory: str) -> list[str]:
    """Has every shard made that an earlier driver did not have made of the same plan; returns their folders.

    Of attempts that ran beside each other the one counts that Spark's result names.
    """
    rated = rated_of(spec)
    done = complete(rated)
    rated.mkdir(exist_ok=True)
    missing = [shard for shard in range(run.shards) if shard not in done]
    if missing:
        work = Work(run.binary, str(spec), str(rated), threads, memory)
        tasks = spark.sparkContext.parallelize(missing, len(missing))
        done.update(tasks.map(lambda shard: (shard, rate(work, shard))).collect())
    return [done[shard] for shard in range(run.shards)]


def reading(run: Run) -> dict[str, str]:
    """The configuration that may decide how rows are read."""
    return {name: value for name, value in run.spark.items() if name.startswith(("spark.sql.", "spark.hadoop."))} | SESSION


def read_all(spark: "SparkSession", sources: list[Source]) -> tuple[dict[str, "DataFrame"], list[Any]]:
    """The rows of all tables, and their files."""
    rows = {of.table: read(spark, of) for of in sources}
    return rows, describe(spark, rows, sources)


def same_still(spark: "SparkSession", sources: list[Source], described: list[Any]) -> None:
    """Checks that no file without a version of its table was replaced while rows were staged."""
    files = [of for of in sources if of.version is None]
    if not files:
        return
    again = read_all(spark, files)[1]
    before = {table.source.table: table.digest() for table in described}
    changed = [table.source.table for table in again if table.digest() != before[table.source.table]]
    if changed:
        raise Refused(f"{', '.join(changed)} changed while rows were staged; nothing was published, run again")


def drive(run: Run) -> int:
    """Does all of it; returns the status that `sesame shard gather` ended with."""
    run.staging.mkdir(parents=True, exist_ok=True)
    spark = session(run)
    threads, memory = machine(spark, run)
    sources = [pinned(spark, of) for of in run.sources]
    rows, described = read_all(spark, sources)
    staged = folder_of(run.staging, run.shards, described, reading(run))
    with lock(staged):
        staged.mkdir(mode=0o700, exist_ok=True)
        all_tables(staged, rows, described, run.shards)
        same_still(spark, sources, described)
        spec = plan(run, staged)
        # A run that is published already needs no shards: gathering says so.
        shards = [] if json.loads(spec.read_text())["published"] else rate_all(spark, run, spec, threads, memory)
        spark.stop()
        return gather(run, spec, shards)


def gather(run: Run, spec: Path, shards: list[str]) -> int:
    """Has the shards gathered; returns how that ended, as a shell tells it. What was staged goes when the table is published."""
    code = child([program(run.binary), "shard", "gather", str(spec), *shards, *run.gather])
    if code == 0 and not run.keep:
        remove(spec.parent)
    if code == 2 and shards:
        kept = f"the shards in {rated_of(spec)} are taken again when it is started again; remove that folder to have them made anew"
        print(f"sesame.spark: {kept}", file=sys.stderr)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Reads the command line; what is wrong is told in one paragraph."""
    args = argparse.ArgumentParser(prog="python -m sesame.spark", description="Runs sesame on Spark.")
    args.add_argument("run", type=Path, metavar="run.toml", help="what is run: see docs/spark.md")
    try:
        return drive(load(args.parse_args().run))
    except (Refused, OSError, tomllib.TOMLDecodeError) as error:
        print(f"sesame.spark: {error}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001  Spark wraps what a task raised; its message holds the child's log.
        print(f"sesame.spark: nothing was published: {because(str(error))}", file=sys.stderr)
    return 2


def because(text: str) -> str:
    """What a task's child said, out of the traces that Spark wraps it in."""
    found = re.search(r"ChildFailed: (.*?)(?:\n\s*\n|\n\s*at |\Z)", text, re.DOTALL)
    return found[1] if found else text


if __name__ == "__main__":
    sys.exit(main())
