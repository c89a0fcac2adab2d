"""A whole `sesame run` against DuckDB and against the decode floor, one after another on the same population.

    pip install -r benches/peers/requirements.txt
    cargo build --release && cargo bench --no-run
    target/release/sesame generate /tmp/population --subjects 1000000 --seed 1
    python benches/peers/compare.py /tmp/population [--rounds 3]

DuckDB executes only the SQL of `sesame plan --sql`, through views that cast and cut off (duckdb_features.py); sesame
does everything: hashes and checks every row, removes duplicates, resolves versions, consents and disputes, scores,
explains and writes. Prints wall and CPU seconds and peak memory of each, medians over the rounds, and the ratios.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = ["subjects", "repayments", "utility_payments", "purchases", "friend_links", "consents", "public_records", "disputes", "sources",
          "outcomes", "groups", "sales"]


def measure(command):
    """Wall seconds, CPU seconds and peak memory of a command, in GiB."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("export", type=Path)
    parser.add_argument("--as-of", default="2025-10-31")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    args = parser.parse_args()
    sesame = args.target / "release" / "sesame"
    floor = max((args.target / "release" / "deps").glob("decode_floor-*[!.d]"), key=lambda p: p.stat().st_mtime)
    with tempfile.TemporaryDirectory() as work:
        inputs = []
        for table in TABLES:
            path = args.export / table
            inputs += ["--set", f'inputs.{table}="{path if path.is_dir() else path.with_suffix(".parquet")}"']
        pipeline = [str(ROOT / "pipelines" / "nightly.toml"), "--as-of", args.as_of, "--quiet", *inputs]
        sql = Path(work) / "features.sql"
        sql.write_text(subprocess.run([sesame, "plan", "--sql", *pipeline], check=True, capture_output=True, text=True).stdout)
        commands = {
            "floor": [str(floor), str(args.export)],
            "sesame": [str(sesame), "run", *pipeline, "--set", f'output="{work}/out"'],
            "duckdb": [sys.executable, str(ROOT / "benches/peers/duckdb_features.py"), str(args.export), str(sql), args.as_of,
                       "--out", f"{work}/features.parquet"],
        }
        results = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                results[name].append(measure(command))
    medians = {name: [statistics.median(r[i] for r in rounds) for i in range(3)] for name, rounds in results.items()}
    for name, (wall, cpu, peak) in medians.items():
        print(f"{name:7} wall {wall:7.1f} s   cpu {cpu:7.1f} s   peak {peak:5.2f} GiB")
    for other in ("duckdb", "floor"):
        wall, cpu = (medians["sesame"][i] / medians[other][i] for i in (0, 1))
        print(f"sesame / {other}: wall {wall:.2f}, cpu {cpu:.2f}")


if __name__ == "__main__":
    main()
