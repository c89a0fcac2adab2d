"""How the driver reads tables, in a Spark of one process: `PYTHONPATH=python python tests/spark/reading.py`. Silence is good."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sesame import spark, staging, tables

HERE = Path(tempfile.mkdtemp(prefix="sesame-reading-"))


def refused(work, *words):
    """Asserts that something is refused with some words."""
    try:
        work()
    except tables.Refused as error:
        for word in words:
            assert word in str(error), (word, str(error))
    else:
        raise AssertionError(f"not refused: {words}")


def write(name, **columns):
    """Writes a Parquet file of some columns; returns the folder of its first part."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return HERE / Path(name).parts[0]


def parquet(at, table="sales", columns=()):
    """A table of Parquet files."""
    return tables.Source(table, "parquet", str(at), None, tuple(columns))


def described(session, *sources):
    """What the driver finds of some tables."""
    return spark.read_all(session, list(sources))


def files_that_are_read_are_those_of_the_program(session):
    write("plain/1.parquet", subject_id=["a"])
    at = write("plain/2025/2.parquet", subject_id=["b"])
    refused(lambda: described(session, parquet(at)), "tables.sales", "plain/2025/2.parquet", "no partition's folder")
    write("mixed/1.parquet", subject_id=["a"])
    at = write("mixed/month=1/2.parquet", subject_id=["b"])
    refused(lambda: described(session, parquet(at)), "mixed/1.parquet", "no partition's folder")
    at = write("copied/1.parquet", subject_id=["a"])
    shutil.copyfile(at / "1.parquet", at / "1.parquet.bak")
    refused(lambda: described(session, parquet(at)), "1.parquet.bak", "not named *.parquet")
    # What both leave out, and names that have to be escaped.
    write("good/_x/1.parquet", subject_id=["a"])
    write("good/.2.parquet", subject_id=["a"])
    write("good/month=2025-01/50%25 of.PARQUET", subject_id=["a"])
    at = write("good/month=2025-02/b.parquet", subject_id=pa.array([], pa.string()))
    (at / "_SUCCESS").touch()
    found = described(session, parquet(at))[1][0].files
    assert [(file.label, file.rows) for file in found] == [
        ("month=2025-01/50%25 of.PARQUET", 1),
        ("month=2025-02/b.parquet", 0),
    ]
    # A file that is named is read, whatever it is called.
    write("named/rows.pq", subject_id=["a"])
    assert [file.label for file in described(session, parquet(HERE / "named/rows.pq"))[1][0].files] == ["rows.pq"]
    assert [file.label for file in described(session, parquet(HERE / "named/*.pq"))[1][0].files] == ["rows.pq"]


def columns_that_some_files_have_alone_are_read(session):
    write("grown/1.parquet", subject_id=["a"], v=[1])
    at = write("grown/2.parquet", subject_id=["b"], v=[2], known_at=["2025-01-01"])
    rows = tables.read(session, parquet(at))
    assert "known_at" in rows.columns
    assert [row["known_at"] for row in rows.orderBy("subject_id").collect()] == [None, "2025-01-01"]
    # Of groups every column is a group, and the program takes those that all files have.
    rows = tables.read(session, parquet(at, "groups"))
    assert set(rows.columns) == {"subject_id", "v", "_file", "_row", "_size", "_modified"}, rows.columns
    assert [row["v"] for row in rows.orderBy("subject_id").collect()] == [1, 2]
    write("wider/1.parquet", subject_id=["a"], v=pa.array([1], pa.int32()))
    at = write("wider/2.parquet", subject_id=["b"], v=pa.array([1], pa.int64()))
    try:
        tables.read(session, parquet(at)).collect()
    except Exception as error:  # noqa: BLE001  Spark's own, which says what it is.
        assert "MERGE" in str(error), error
    else:
        raise AssertionError("one column of two types was read")


def a_patterns_folders_are_columns(session):
    write("parts/product=a/month=1/1.parquet", subject_id=["a"])
    write("parts/product=b/month=2/1.parquet", subject_id=["b"])
    rows, found = described(session, parquet(HERE / "parts/product=*"))
    told = rows["sales"].orderBy("subject_id").select("product", "month").collect()
    assert [tuple(row) for row in told] == [("a", "1"), ("b", "2")]
    assert [file.label for file in found[0].files] == ["product=a/month=1/1.parquet", "product=b/month=2/1.parquet"]


def ids_come_as_they_were_written(session):
    at = write("chars/1.parquet", subject_id=["ab"])
    session.sql(f"CREATE TABLE chars (subject_id CHAR(6)) USING parquet LOCATION '{at}'")
    found = tables.read(session, tables.Source("sales", "table", "chars")).collect()
    assert [row["subject_id"] for row in found] == ["ab"]


def a_catalogue_table_that_changes_is_noticed(session):
    at = write("changing/1.parquet", subject_id=["a"])
    session.sql(f"CREATE TABLE changing (subject_id STRING) USING parquet LOCATION '{at}'")
    of = tables.Source("sales", "table", "changing")
    found = described(session, of)[1]
    spark.same_still(session, [of], found)
    write("changing/2.parquet", subject_id=["b", "c"])
    refused(lambda: spark.same_still(session, [of], found), "sales changed while rows were staged")
    assert sum(file.rows for file in described(session, of)[1][0].files) == 3


def the_numbers_of_rows_are_added_up(session):
    count = 200_000
    at = write("many/1.parquet", subject_id=[f"s{n}" for n in range(count)])
    file = described(session, parquet(at))[1][0].files[0]
    squares = sum(n * n for n in range(count))
    assert (file.rows, file.numbers) == (count, tables.Numbers(count * (count - 1) // 2, squares))


def disputes_need_not_say_whose_record_it_is(session):
    subjects = write("people/1.parquet", subject_id=["a", "b", "a"])
    disputes = write("disputes/1.parquet", dispute_id=["d1"], record_id=["r1"])
    sources = [parquet(disputes, "disputes"), parquet(subjects, "subjects")]
    rows, found = described(session, *sources)
    folder = HERE / "staged"
    folder.mkdir()
    staging.all_tables(folder, rows, found, 2)
    said = (folder / "tables.json").read_text()
    assert "disputed_subjects" not in said and '"squares": 5' in said and '"_size"' not in said
    numbers = [
        row for path in folder.glob("subjects-*/shard=*/*.parquet") for row in pq.read_table(path)["_row"].to_pylist()
    ]
    assert sorted(numbers) == [0, 1, 2]


def a_column_that_says_where_rows_were_is_refused(session):
    at = write("placed/1.parquet", subject_id=["a"], _Size=[1])
    refused(lambda: tables.read(session, parquet(at)), "a column is called _size")
    assert tables.read(session, parquet(at, columns=["subject_id"])).count() == 1


TESTS = [
    files_that_are_read_are_those_of_the_program,
    columns_that_some_files_have_alone_are_read,
    a_patterns_folders_are_columns,
    ids_come_as_they_were_written,
    a_catalogue_table_that_changes_is_noticed,
    the_numbers_of_rows_are_added_up,
    disputes_need_not_say_whose_record_it_is,
    a_column_that_says_where_rows_were_is_refused,
]


def main():
    """Calls every test, with one session as the driver makes it."""
    os.chdir(HERE)
    conf = {
        "spark.master": "local[1]",
        "spark.sql.warehouse.dir": str(HERE / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
    }
    run = spark.Run(HERE, 2, HERE, (), None, None, None, (), (), False, conf)
    session = spark.session(run)
    try:
        for test in TESTS:
            test(session)
    finally:
        session.stop()
        os.chdir("/")
        shutil.rmtree(HERE)


if __name__ == "__main__":
    signal.alarm(600)
    main()
