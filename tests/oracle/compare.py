"""Holds the second implementation against what the program publishes, field by field.

    pip install -r tests/oracle/requirements.txt
    python tests/oracle/compare.py --sesame target/release/sesame --sample
    python tests/oracle/compare.py --sesame target/release/sesame --cases 200 --seed 1 --jobs 2

The first scores data-samples/small at several dates, the second random populations (populations.py), those with friends
once more with bins that show a friends' mean to the millionth, and every third as one date of a backfill. Compared are the published table, every feature of every
subject, relationships.parquet, the subjects per bin and the sums of shares behind the reasons (distributions.json), the
adverse records, what was quarantined and the conservation of rows. A case that disagrees is kept, with the command to
repeat it. Exits 1 if anything disagrees.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq

from exports import ROOT
from expression import parse
from features import NONE, is_missing
from friends import SHARE
from oracle import Run, cut_off
from populations import pipeline_text, write_case
from populations_model import copy_catalogue, save_model, with_narrow_bins
from settle import RECORDS, Conflict, row_content
from times import date_of

TOLERANCE = 1e-9
PUBLISHED, STOPPED, SOME_FAILED = 0, 2, 4
SHOWN = 12
SAMPLE = [
    ("2025-10-31", None),
    ("2025-10-30", None),
    ("2025-02-28", None),
    ("2024-02-29", None),
    ("2025-06-30", "2025-10-31T00:00:00+00:00"),
    ("2025-10-31", "2025-08-31T12:00:00+00:00"),
]
COLUMNS = ["scores", "features", "relationships", "conservation"]
CLASSES = ["used", "not_visible", "quarantined", "duplicate", "superseded", "merged", "dropped"]
CLASSES += ["disputed_out", "without_consent", "outside_windows"]


@dataclass
class Case:
    """One run to compare."""

    name: str
    pipeline: Path
    as_of: str
    known_by: str | None
    model: Path | None = None
    beside: str | None = None
    """A date before it that is scored in the same pass over the exports."""


@dataclass
class Outcome:
    """What came of a case: disagreements as (place, key, column, expected, got).

    `edges` are points half a millionth below and above every friends' mean.
    """

    name: str
    folder: str
    subjects: int = 0
    scored: int = 0
    pools: int = 0
    values: int = 0
    fields: int = 0
    stopped: bool = False
    edges: list = field(default_factory=list)
    disagreements: list = field(default_factory=list)

    def hold(self, place, key, column, expected, got):
        """Counts a field, and notes it if the two disagree."""
        self.fields += 1
        if not same(expected, got):
            self.disagreements.append((place, key, column, expected, got))

    def join(self, other):
        """Adds what came of the same case with another model."""
        self.values, self.fields = self.values + other.values, self.fields + other.fields
        self.disagreements += other.disagreements
        if other.disagreements:
            self.folder += f" and {other.folder}"


def same(expected, got):
    """Equal, or equal up to the tolerance where one is a double."""
    if isinstance(expected, (float, Fraction)) and isinstance(got, (int, float)):
        return abs(float(expected) - got) <= TOLERANCE * max(abs(float(expected)), abs(got))
    return expected == got


# ------------------------------------------------------------ one case


def compare(case, sesame, scratch):
    """Runs both and compares everything the program wrote."""
    folder = Path(tempfile.mkdtemp(prefix=f"{case.name}-", dir=scratch))
    outcome = Outcome(case.name, str(folder))
    code, said = run_program(case, sesame, folder)
    try:
        run = Run(
            case.pipeline, datetime.date.fromisoformat(case.as_of), case.known_by and cut_off(case.known_by), case.model
        )
        result = run.result()
    except Conflict:
        outcome.stopped = True
        outcome.hold("exit code", case.name, "", STOPPED, code)
        return outcome
    outcome.hold("exit code", case.name, said if code else "", PUBLISHED, code)
    if code == PUBLISHED:
        outcome.subjects = len(result.subjects)
        outcome.scored = sum(subject.is_scored for subject in result.subjects)
        pools = [subject.pool for subject in result.subjects if subject.pool]
        outcome.pools = len(pools)
        halves = [pool.mean + half for pool in pools for half in (-Fraction(1, 2), Fraction(1, 2))]
        outcome.edges = [run.model.points_of_share(mean / SHARE) for mean in halves]
        (kept,) = (folder / "out/runs").glob(f"{case.as_of}-*")
        for check in (scores, features, relationships, distributions, evidence, conservation, quarantine):
            check(outcome, run, result, kept)
    return outcome


def run_program(case, sesame, folder):
    """The program's exit code, as far as the case's date is concerned, and the end of what it said."""
    dates = ["--from", case.beside, "--to", case.as_of, "--every", "day"] if case.beside else ["--as-of", case.as_of]
    command = [str(sesame), "backfill" if case.beside else "run", str(case.pipeline), *dates, "--threads", "1", "--quiet"]
    command += ["--known-by", case.known_by] if case.known_by else []
    command += ["--model", str(case.model)] if case.model else []
    command += ["--set", f'output="{folder / "out"}"']
    (folder / "command.txt").write_text(" ".join(f"'{word}'" for word in command) + "\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    code = done.returncode
    if case.beside and code == SOME_FAILED:
        code = PUBLISHED if (folder / f"out/scores/as_of={case.as_of}").exists() else STOPPED
    return code, done.stderr[-2000:]


def rows_by(path, *key):
    """Rows of a Parquet file by the columns that name them."""
    return {tuple(row[name] for name in key): row for row in pq.read_table(path).to_pylist()}


def hold_tables(outcome, place, expected, got):
    """Two tables as mappings of key to row: the same keys, and the same in every column."""
    for key in sorted(set(expected) | set(got), key=str):
        if key not in expected or key not in got:
            outcome.hold(place, key, "(row)", key in expected, key in got)
            continue
        for column in expected[key]:
            outcome.hold(place, key, column, expected[key][column], got[key].get(column, "(no column)"))


def scores(outcome, run, result, kept):
    """Every column of the published table, and its order."""
    table = pq.read_table(kept / "scores.parquet")
    expected = {(subject.identity,): subject.row for subject in result.subjects}
    hold_tables(outcome, "scores", expected, {(row["subject_id"],): row for row in table.to_pylist()})
    outcome.hold("scores", "", "columns", sorted(result.subjects[0].row), sorted(table.column_names))
    outcome.hold("scores", "", "order", [one.identity for one in result.subjects], table.column("subject_id").to_pylist())


def features(outcome, run, result, kept):
    """Every feature but those of friends, with whether it is `none`."""
    names = {}
    for feature in run.features:
        names.setdefault(feature.category, []).append(feature.name)
    for category, features_of_it in names.items():
        rows = pq.read_table(kept / f"features/{category}.parquet").to_pylist()
        outcome.hold("features", category, "(rows)", len(result.subjects), len(rows))
        if len(result.subjects) != len(rows):
            continue
        for subject, row in zip(result.subjects, rows, strict=True):
            for name in features_of_it:
                value = subject.values[name]
                outcome.values += 1
                outcome.hold("features", subject.identity, name, None if is_missing(value) else value, row[name])
                outcome.hold("features", subject.identity, name + "__none", value == NONE, row[name + "__none"])


def relationships(outcome, run, result, kept):
    """What may be said of friends."""
    expected = {(one.identity,): row for one in result.subjects if (row := run.relationships(one))}
    path = kept / "relationships.parquet"
    hold_tables(outcome, "relationships", expected, rows_by(path, "subject_id") if path.exists() else {})


def distributions(outcome, run, result, kept):
    """Scored subjects per bin of every scored feature, and by segment the sums of shares that reasons compare with."""
    written = json.loads((kept / "distributions.json").read_text())
    scored = [subject for subject in result.subjects if subject.is_scored]
    for feature in run.model.features:
        counts = Counter(feature.bin(subject.values[feature.name]) for subject in scored)
        expected = [counts[number] for number in range(len(feature.shares) + 2)]
        outcome.hold("bins", feature.name, "", expected, written["features"][feature.name]["subjects"])
    if run.model.text["reasons"]["baseline"] != "population_mean":
        return
    for number, (segment, _, _) in enumerate(run.model.segments):
        inside = [subject.shares for subject in scored if subject.segment == segment]
        sums = [sum(shares[feature.name] for shares in inside) for feature in run.model.features]
        outcome.hold("baselines", segment, "counts", len(inside), written["baselines"]["counts"][number])
        outcome.hold("baselines", segment, "sums", sums, written["baselines"]["sums"][number])


def evidence(outcome, run, result, kept):
    """The records that count and are adverse or trigger a policy rule, with that rule."""
    for table in RECORDS:
        path = kept / f"evidence/{table}.parquet"
        got = pq.read_table(path).to_pylist() if path.exists() else []
        expected = [row for subject in result.subjects for row in adverse(run, subject, table)]
        got_counts = Counter(tuple(_as_text(value) for value in row.values()) for row in got)
        expected_counts = Counter(tuple(map(_as_text, row)) for row in expected)
        for row in sorted(set(got_counts) | set(expected_counts)):
            outcome.hold("evidence", table, str(row), expected_counts[row], got_counts[row])


def adverse(run, subject, table):
    """Rows of evidence/<table>.parquet of one subject."""
    declared = run.contract.tables[table]
    if declared.adverse is None:
        return
    is_adverse, amount = parse(declared.adverse), declared.adverse_amount
    for row in subject.views[table]:
        if row["(day)"] < run.first_days[table]:
            continue
        policy = next((one["code"] for one, holds in run.model.policies if one["source"] == table and holds(row)), None)
        if is_adverse(row) is True or policy:
            yield (
                _as_text(subject.identity),
                table,
                _as_text(row["record_id"]),
                date_of(row["(day)"]),
                row.get("days_past_due"),
                row[amount],
                policy,
            )


def _as_text(value):
    """A value as evidence writes ids: bytes in hexadecimal."""
    return value.hex() if isinstance(value, bytes) else str(value)


def conservation(outcome, run, result, kept):
    """Rows by table and class; by file those that no choice between equal rows can move."""
    written = json.loads((kept / "audit.json").read_text())["conservation"]
    for table, rows in result.exports.items():
        expected = Counter(row.fate for row in rows)
        for fate in CLASSES:
            outcome.hold("conservation", table, fate, expected[fate], written[table][fate])
        for file in written[table]["files"]:
            inside = [row for row in rows if row.file == file["file"]]
            outcome.hold("conservation", (table, file["file"]), "rows", len(inside), file["rows"])
            hidden = sum(row.fate == "not_visible" for row in inside)
            outcome.hold("conservation", (table, file["file"]), "not_visible", hidden, file["not_visible"])
    reasons = Counter(row.dropped for row in result.exports.get("friend_links", []))
    for reason, number in written.get("friend_links", {}).get("dropped_because", {}).items():
        outcome.hold("conservation", "friend_links", reason, reasons[reason], number)


def quarantine(outcome, run, result, kept):
    """Rule, column and content of every quarantined row."""
    for table, rows in result.exports.items():
        content = {(row.file, row.number): row_content(run.contract.tables[table], row) for row in rows}
        expected = Counter((*row.broken, content[row.file, row.number]) for row in rows if row.fate == "quarantined")
        path = kept / f"quarantine/{table}.parquet"
        got = pq.read_table(path).to_pylist() if path.exists() else []
        got = Counter((row["rule"], row["column"], content[row["file"], row["row"]]) for row in got)
        for found in expected | got:
            outcome.hold(f"quarantine of {table}", found[:2], str(found[2]), expected[found], got[found])


# ------------------------------------------------------------ many cases


def sample_cases(scratch):
    """data-samples/small at several dates, through the inputs of the nightly pipeline but without its gates."""
    nightly = tomllib.loads((ROOT / "pipelines/nightly.toml").read_text())
    inputs = {name: (ROOT / "pipelines" / place).resolve() for name, place in nightly["inputs"].items()}
    pipeline = scratch / "sample.toml"
    pipeline.write_text(pipeline_text(inputs, nightly["currency"], nightly.get("time_zone")))
    return [Case(f"sample-{as_of}-{(known_by or 'then')[:10]}", pipeline, as_of, known_by) for as_of, known_by in SAMPLE]


def random_case(seed, scratch):
    """A random population, written below the scratch folder."""
    folder = scratch / f"population-{seed}"
    as_of, known_by, model = write_case(folder, seed)
    return Case(f"random-{seed}", folder / "pipeline.toml", as_of, known_by, model)


def sharpened(case, outcome):
    """The case with bins so narrow that a friends' mean off by a millionth shows."""
    folder = case.pipeline.parent
    if case.model is None:
        copy_catalogue(folder)
    text = (case.model or ROOT / "pipelines/models/standard.toml").read_text()
    model = save_model(folder, "narrow", with_narrow_bins(text, outcome.edges))
    return Case(case.name + "-narrow", case.pipeline, case.as_of, case.known_by, model)


def among_others(case):
    """The case as one of two dates that share a pass."""
    before = datetime.date.fromisoformat(case.as_of) - datetime.timedelta(days=1)
    return Case(case.name + "-beside", case.pipeline, case.as_of, case.known_by, case.model, before.isoformat())


def work(task):
    """One case in a process of its own, a random one with friends twice; folders of what agrees are removed. Every third random one is
    scored once more beside another date."""
    case, sesame, scratch = task
    if not isinstance(case, int):
        return tidied(compare(case, sesame, scratch))
    is_third = case % 3 == 0
    case = random_case(case, scratch)
    outcome = tidied(compare(case, sesame, scratch))
    if outcome.edges:
        outcome.join(tidied(compare(sharpened(case, outcome), sesame, scratch)))
    if is_third:
        outcome.join(tidied(compare(among_others(case), sesame, scratch)))
    if not outcome.disagreements:
        shutil.rmtree(case.pipeline.parent)
    return outcome


def tidied(outcome):
    """The outcome; what the program wrote is kept only if something disagrees."""
    if not outcome.disagreements:
        shutil.rmtree(outcome.folder)
    return outcome


def by_column(outcomes):
    """How often each column disagrees."""
    found = [one for outcome in outcomes for one in outcome.disagreements]
    counts = Counter((place, column if place in COLUMNS else "") for place, _, column, _, _ in found)
    return ", ".join(f"{place} {column} {number}".replace("  ", " ") for (place, column), number in counts.most_common())


def show(outcome):
    """The first disagreements of a case."""
    if not outcome.disagreements:
        return
    print(f"{outcome.name}: {len(outcome.disagreements)} disagreements, kept in {outcome.folder}")
    print("  " + by_column([outcome]))
    for place, key, column, expected, got in outcome.disagreements[:SHOWN]:
        expected, got = (float(value) if isinstance(value, Fraction) else value for value in (expected, got))
        print(f"  {place:14} {key!s:28} {column!s:28} expected {expected!s}, got {got!s}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sesame", required=True, type=Path, help="the program")
    parser.add_argument("--sample", action="store_true", help="compare data-samples/small")
    parser.add_argument("--cases", type=int, default=0, help="number of random populations")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first; the others follow")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--scratch", help="where cases are written; a temporary folder when not given")
    arguments = parser.parse_args()
    scratch = Path(arguments.scratch or tempfile.mkdtemp(prefix="oracle-")).resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    cases = sample_cases(scratch) if arguments.sample else []
    cases += range(arguments.seed, arguments.seed + arguments.cases)
    outcomes = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for outcome in pool.map(work, [(case, arguments.sesame.resolve(), scratch) for case in cases]):
            show(outcome)
            outcomes.append(outcome)
    disagreeing = [outcome for outcome in outcomes if outcome.disagreements]
    print(
        f"{len(outcomes)} cases ({sum(one.stopped for one in outcomes)} stop the run), "
        f"{sum(one.subjects for one in outcomes):,} subjects, {sum(one.scored for one in outcomes):,} of them scored and "
        f"{sum(one.pools for one in outcomes):,} with friends, {sum(one.values for one in outcomes):,} feature values, "
        f"{sum(one.fields for one in outcomes):,} fields: "
        f"{sum(len(one.disagreements) for one in outcomes):,} disagreements in {len(disagreeing)} cases"
    )
    if disagreeing:
        print(by_column(disagreeing))
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
