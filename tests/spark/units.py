"""The parts of the Spark driver that need no Spark: `PYTHONPATH=python python tests/spark/units.py`. Silence is good."""

import contextlib
import dataclasses
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sesame import attempt, spark, staging, tables


def refused(work, *words):
    """Asserts that something is refused with some words."""
    try:
        work()
    except (tables.Refused, attempt.ChildFailed) as error:
        for word in words:
            assert word in str(error), (word, str(error))
    else:
        raise AssertionError(f"not refused: {words}")


def script(folder, text):
    """A program."""
    path = Path(folder) / f"program-{time.monotonic_ns()}"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def a_table_is_named_in_one_way():
    base = Path("/exports")
    assert tables.source("sales", {"parquet": "sales/"}, base) == tables.Source("sales", "parquet", "/exports/sales")
    assert tables.source("sales", {"delta": "s3a://b/sales", "version": 7}, base).version == "7"
    assert tables.source("sales", {"iceberg": "lake.sales"}, base).at == "lake.sales"
    refused(lambda: tables.source("sales", {"parquet": "a", "delta": "b"}, base), "tables.sales", "one of parquet")
    refused(lambda: tables.source("sales", {"csv": "a"}, base), "not csv")
    refused(lambda: tables.source("sales", {"parquet": "a", "version": 7}, base), "only delta and iceberg")


def labels_are_those_of_the_program():
    files = ["file:///x/sales/year=2024/a%20b.parquet", "file:/x/sales/year=2025/a.parquet"]
    below = ["year=2024/a b.parquet", "year=2025/a.parquet"]
    assert list(tables.labels(files, "/x/sales").values()) == below
    assert list(tables.labels(files, "/x/sales/year=*").values()) == below
    assert list(tables.labels(files, None).values()) == below
    assert list(tables.labels(["file:///x/s.parquet"], "/x/s.parquet").values()) == ["s.parquet"]
    assert list(tables.labels(["file:///x/sales/year=2024/a.parquet"], "/x/sales").values()) == ["year=2024/a.parquet"]
    assert list(tables.labels(["s3a://b/t/p=1/a.parquet"], "s3a://b/t").values()) == ["p=1/a.parquet"]


def a_file_without_rows_is_told_and_so_is_a_table_without_files():
    of = tables.Source("sales", "parquet", "/x/sales")
    some = tables.described(
        of, {"file:///x/sales/b.parquet": tables.Facts(7, 5, 6)}, ["file:/x/sales/a%20a.parquet", "file:/x/sales/b.parquet"]
    )
    assert [(file.label, file.rows) for file in some.files] == [("a a.parquet", 0), ("b.parquet", 7)]
    assert [file.rows for file in tables.described(of, {}, []).files] == [0]


def a_version_stands_for_content_and_for_what_is_computed():
    of = tables.Source("sales", "delta", "/lake/sales", "17", (), "0b1c")
    assert tables.version_of(of, "a", 5, 6) == "delta:0b1c@17 read=2"
    plain = tables.Source("sales", "parquet", "/x")
    assert tables.version_of(plain, "a", 5, 6) == "file:a size=5 modified=6 read=2"
    computed = {
        tables.version_of(tables.Source("sales", "parquet", "/x", None, (c,)), "a", 5, 6) for c in ("a AS b", "b AS b")
    }
    assert len(computed) == 2 and tables.version_of(plain, "a", 5, 6) not in computed


def the_shard_of_a_row_follows_from_its_subject_alone():
    assert tables.shard_of("int", 8) == tables.shard_of("bigint", 8)
    assert "CAST(subject_id AS STRING)" in tables.shard_of("string", 8) and ", 8)" in tables.shard_of("string", 8)
    refused(lambda: tables.shard_of("binary", 8, "sales"), "tables.sales", "text or integers")
    assert tables.is_divided(["subject_id", "record_id"], "sales")
    assert not tables.is_divided(["subject_id"], "disputes") and not tables.is_divided(["subject_a"], "friend_links")


def only_what_is_complete_is_used_again(folder):
    rows = folder / "sales-1" / "shard=0"
    rows.mkdir(parents=True)
    (rows / "a.parquet").write_bytes(b"12345")
    assert staging.marked(folder, "sales") is None
    staging.mark(folder, "sales", "sales-1")
    assert staging.marked(folder, "sales") == "sales-1"
    (rows / "a.parquet").write_bytes(b"1234")
    assert staging.marked(folder, "sales") is None, "a file was cut off"
    (rows / "a.parquet").write_bytes(b"12345")
    (rows / "b.parquet").write_bytes(b"1")
    assert staging.marked(folder, "sales") is None, "a file came"
    (rows / "b.parquet").unlink()
    text = (folder / "sales.json").read_text()
    (folder / "sales.json").write_text(text.replace("a.parquet", "c.parquet"))
    (rows / "a.parquet").rename(rows / "c.parquet")
    assert staging.marked(folder, "sales") is None, "the marker was changed"
    (folder / "sales.json").write_text(text[:-5])
    assert staging.marked(folder, "sales") is None, "the marker was cut off"


def another_state_of_a_table_has_another_folder(folder):
    def of(rows, table="sales", shards=3, session=None, numbers=0):
        file = tables.StagedFile("a", "file:/a", rows, 5, "file:a", tables.Numbers(numbers, 0))
        described = [tables.Described(tables.Source(table, "parquet", "/a"), (file,))]
        return staging.folder_of(folder, shards, described, session or {})

    assert of(1) == of(1)
    others = {of(1, session={"spark.sql.parquet.mergeSchema": "true"}), of(1, numbers=1)}
    assert len({of(1), of(2), of(1, "purchases"), of(1, shards=4)} | others) == 6
    # What decides how rows are read is part of it, whoever says so; memory is not.
    path = folder / "run.toml"

    def reading(line):
        path.write_text(f'pipeline = "p"\nshards = 3\nstaging = "s"\n[tables]\n[spark]\n{line}\n')
        return spark.reading(spark.load(path))

    assert reading('"spark.sql.caseSensitive" = "true"') != reading("") == reading('"spark.executor.memory" = "2g"')
    assert reading('"spark.sql.parquet.mergeSchema" = "false"') == reading(
        ""
    ) and "spark.sql.parquet.mergeSchema" in reading("")


def one_driver_at_a_time(folder):
    staged = folder / "sesame-1"
    with staging.lock(staged):
        refused(lambda: staging.lock(staged), "another driver")
    staging.lock(staged).close()
    assert not staged.exists(), "the lock lies beside the folder, which can be removed while it is held"


def what_was_staged_goes_and_what_stays_is_used_by_nobody(folder):
    staged = folder / "sesame-1"
    (staged / "rated-1").mkdir(parents=True)
    (staged / "rated-1" / "shard.json").write_text("{}")
    with staging.lock(staged):
        staging.remove(staged)
    assert [path.name for path in folder.iterdir()] == [".sesame-1.lock"]
    # One that cannot be removed is told of, and does not keep its name.
    staged.mkdir()
    kept = staging.shutil.rmtree
    staging.shutil.rmtree = lambda *_, **__: None
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            staging.remove(staged)
    finally:
        staging.shutil.rmtree = kept
    assert not staged.exists() and len(list(folder.glob(".sesame-1-*.done"))) == 1 and "stays; remove it" in told.getvalue()


def files_are_held_against_what_the_program_would_read():
    of = tables.Source("sales", "parquet", "/x/sales")

    def held(below, seen, named=()):
        tables.same_files(of, "file:/x/sales", named, below, seen)

    held(
        ["file:/x/sales/a%20b.parquet", "file:/x/sales/_SUCCESS", "file:/x/sales/_x/c.parquet"],
        ["file:///x/sales/a b.parquet"],
    )
    held([], ["file:///x/sales"], ["file:/x/sales"])
    refused(lambda: held(["file:/x/sales/2025/a.parquet"], []), "/x/sales/2025/a.parquet", "no partition's folder")
    refused(lambda: held(["file:/x/sales/a.bak"], ["file:/x/sales/a.bak"]), "not named *.parquet")
    assert tables.fixed_part("/x/sales/year=*/m=[12]/a") == "/x/sales" and tables.fixed_part("/x/sales") == "/x/sales"


def a_gathering_ends_as_its_child_does(folder):
    def run(text, shards, keep=False):
        (folder / "run.toml").write_text('pipeline = "p"\nshards = 1\nstaging = "s"\n[tables]\n')
        of = spark.load(folder / "run.toml")
        spec = folder / "sesame-1" / "spec.json"
        spec.parent.mkdir(exist_ok=True)
        spec.write_text("{}")
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            code = spark.gather(dataclasses.replace(of, binary=script(folder, text), keep=keep), spec, shards)
        return code, spec.parent.exists(), told.getvalue()

    assert run("exit 0", ["s"]) == (0, False, "")
    assert run("exit 0", [], True) == (0, True, "")
    assert run("exit 1", ["s"]) == (1, True, "")
    assert run("kill -9 $$", ["s"]) == (137, True, "")
    code, there, told = run("exit 2", ["s"])
    assert (code, there) == (2, True) and str(spark.rated_of(folder / "sesame-1" / "spec.json")) in told, told


def a_childs_end_is_told_with_its_log(folder):
    def rate(text, shard=3):
        return attempt.rate(attempt.Work(script(folder, text), "spec.json", str(folder), 1, "64MB"), shard)

    refused(lambda: rate("echo disk is full; exit 7"), "shard 3", "exit status 7", "disk is full")
    refused(lambda: rate("kill -9 $$"), "killed by SIGKILL", "it wrote nothing")
    refused(lambda: rate("seq 100; exit 1"), "\n81\n", "\n100")
    made = 'while [ "$1" != --out ]; do shift; done; mkdir "$2"; echo {} > "$2/shard.json"'
    good = rate(made)
    # A shard whose rows contradict each other says so itself, to who gathers.
    failed = rate(f"{made}; exit 2", 5)
    assert Path(good).name.startswith("3-") and attempt.complete(folder) == {3: good, 5: failed}
    assert attempt.complete(folder / "nowhere") == {}


def a_child_dies_with_its_parent(folder):
    pid = folder / "pid"
    child = script(folder, f"echo $$ > {pid}; exec sleep 60")
    work = f"attempt.Work({child!r}, 'spec.json', {str(folder)!r}, 1, '64MB')"
    parent = subprocess.Popen([sys.executable, "-c", f"from sesame import attempt; attempt.rate({work}, 0)"])
    while not (pid.exists() and pid.read_text().strip()):
        assert parent.poll() is None, "the parent ended by itself"
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while alive(int(pid.read_text())):
        assert time.monotonic() < until, "the child outlives its parent"
        time.sleep(0.05)


def alive(pid):
    """Whether a process runs; one that ended and is not waited for does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def a_run_is_checked_before_spark_begins(folder):
    path = folder / "run.toml"

    def load(text):
        path.write_text(text)
        return spark.load(path)

    good = 'pipeline = "p.toml"\nshards = 3\nstaging = "s"\n'
    run = load(good + '[tables]\nsales = { parquet = "sales" }\n')
    assert (run.pipeline, run.shards, run.sources[0].at) == (folder / "p.toml", 3, str(folder / "sales"))
    refused(lambda: load(good), "tables is missing")
    refused(lambda: load(f"sharts = 1\n{good}[tables]\n"), "sharts is not known")
    refused(lambda: load(good.replace("3", "0") + "[tables]\n"), "1 to 512")


def memory_is_below_the_overhead():
    assert spark.memory_below_overhead({}) == "192MB"
    assert spark.memory_below_overhead({"spark.executor.memory": "20g"}) == "1024MB"
    told = {"spark.executor.memoryOverhead": "8g", "spark.executor.cores": "4", "spark.task.cpus": "2"}
    assert spark.memory_below_overhead(told) == "2048MB"
    # There an executor has all cores of its machine, unless somebody says otherwise.
    for master in ("spark://10.0.0.1:7077", "local[8]"):
        refused(
            lambda master=master: spark.memory_below_overhead({"spark.master": master}), "spark.executor.cores", "memory"
        )
        assert spark.memory_below_overhead({"spark.master": master, "spark.executor.cores": "2"}) == "96MB"
    assert spark.memory_below_overhead({"spark.master": "yarn"}) == "192MB"
    assert [spark.megabytes(size) for size in ("512", "1g", "2048k", "3mb")] == [512, 1024, 2, 3]
    refused(lambda: spark.megabytes("much"), "no size")


def what_a_child_said_is_found_in_a_trace():
    trace = "Job aborted: Traceback\n  File x\nsesame.attempt.ChildFailed: shard 1: exit status 7; /l ends with\nfull\n\n\tat org.apache"
    assert spark.because(trace) == "shard 1: exit status 7; /l ends with\nfull"
    assert spark.because("no worker") == "no worker"


def main():
    """Calls every test, with a folder where it takes one."""
    for name, test in list(globals().items()):
        if not callable(test) or test.__module__ != __name__ or name in ("main", "refused", "script", "alive"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            test(*[Path(folder)] * test.__code__.co_argcount)


if __name__ == "__main__":
    signal.alarm(120)
    main()
