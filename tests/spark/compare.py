"""Holds what a run on Spark published against a run on one machine: `python tests/spark/compare.py WHOLE OUT`.

Equal to the byte: the published table, features, evidence, relationships and distributions; quarantine is compared as sorted
rows; the audit without what it cost. How inputs are told (by hash or by version), and the run's
name with it, differ.
"""

import hashlib
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

#: What the audit says of inputs that depends on who read them.
TOLD_BY_WHO_READ = {"digest", "uri", "bytes", "checksums", "ignored_columns", "columns"}


def only(found):
    """The one of its kind."""
    found = list(found)
    assert len(found) == 1, found
    return found[0]


def files(output):
    """The files of the one run of an output folder, by name."""
    run = only(path for path in (output / "runs").iterdir() if path.is_dir() and not path.name.startswith("."))
    tables = [
        path for path in run.rglob("*") if path.suffix == ".parquet" or path.name in ("distributions.json", "audit.json")
    ]
    found = {str(path.relative_to(run)): path for path in tables}
    found["published"] = only((output / "scores").rglob("scores.parquet"))
    return run.name, found


def rows(path):
    """The rows of a file, sorted."""
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in pq.read_table(path).to_pylist())


def without(value, keys):
    """A value without some keys at any depth."""
    if isinstance(value, dict):
        return {key: without(below, keys) for key, below in value.items() if key not in keys}
    return [without(below, keys) for below in value] if isinstance(value, list) else value


def audit(path, run):
    """What an audit says of the result."""
    said = json.loads(path.read_text().replace(run, "RUN"))
    said.pop("timings")
    if "inputs" in said:
        said["inputs"] = without(said["inputs"], TOLD_BY_WHO_READ)
    return said


def differing(one, other, at=""):
    """Where two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differing(one.get(key), other.get(key), f"{at}/{key}")
    elif one != other:
        yield f"{at}: {json.dumps(one)[:200]} | {json.dumps(other)[:200]}"


def content(name, path, run):
    """What of a file has to be equal."""
    if name == "audit.json":
        return audit(path, run)
    if name.startswith("quarantine/"):
        return rows(path)
    if name == "distributions.json":
        return path.read_text().replace(run, "RUN")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    """Compares two output folders."""
    (whole, a), (run, b) = files(Path(sys.argv[1])), files(Path(sys.argv[2]))
    wrong = [f"only one has {name}" for name in sorted(a.keys() ^ b.keys())]
    for name in sorted(a.keys() & b.keys()):
        one, other = content(name, a[name], whole), content(name, b[name], run)
        if one != other:
            wrong += list(differing(one, other, name)) if name == "audit.json" else [f"{name} differs"]
    assert {"published", "audit.json"} <= a.keys() and any(name.startswith("features/") for name in a), sorted(a)
    print("\n".join(wrong) or f"{len(a)} files equal; published {content('published', a['published'], whole)[:16]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
