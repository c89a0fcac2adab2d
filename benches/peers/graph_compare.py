"""The graph job here against pyarrow + pandas + SciPy, turn by turn on the same files.

    pip install -r benches/peers/requirements.txt
    cargo bench --no-run
    python benches/peers/graph_generate.py /tmp/kron
    python benches/peers/graph_compare.py /tmp/kron [--rounds 3]

Prints medians of wall and CPU seconds and of peak memory, the nanoseconds a link of each round and of building takes,
the ratios, and the largest difference of the results. `SciPy, lenient` adds up repeated ties instead of merging them.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from programs import ROOT, bench


def measure(command, env):
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    stages = {name.strip(): float(cpu) for name, cpu in re.findall(r"^(.*?)\s+cpu\s+([\d.]+) s", text, re.M)}
    links = int(re.search(r"links (\d+)", text).group(1))
    return {"wall": time.monotonic() - started, "cpu": usage.ru_utime + usage.ru_stime, "gib": usage.ru_maxrss / 2**20,
            # The weights take a pass over the links as well: eleven passes.
            "rounds": (stages["10 rounds"] + stages.get("weights", 0.0)) * 1e9 / 11 / links, "build": stages["build"] * 1e9 / links}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default=str(2 << 30), help="bytes for links before they are spilled")
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    args = parser.parse_args()
    job = bench(args.target, "graph_job")
    scipy = [sys.executable, str(ROOT / "benches/peers/graph_scipy.py"), str(args.folder)]
    env = {**os.environ, "SESAME_MEMORY": args.memory}
    with tempfile.TemporaryDirectory() as work:
        ours, theirs = f"{work}/ours.parquet", f"{work}/theirs.parquet"
        commands = {"sesame": [str(job), str(args.folder), ours], "SciPy": [*scipy, "--out", theirs], "SciPy, lenient": [*scipy, "--lenient"]}
        results = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                results[name].append(measure(command, env))
        read = lambda path: pd.read_parquet(path).set_index("subject_id")["friends"].sort_index()
        difference = (read(ours) - read(theirs)).abs().max()
    medians = {name: {k: statistics.median(r[k] for r in rows) for k in rows[0]} for name, rows in results.items()}
    for name, m in medians.items():
        print(f"{name:<15} wall {m['wall']:6.1f} s  cpu {m['cpu']:6.1f} s  peak {m['gib']:5.2f} GiB  "
              f"build {m['build']:6.1f} ns a link  round {m['rounds']:5.2f} ns a link")
    for name in list(medians)[1:]:
        ratio = {k: medians[name][k] / medians["sesame"][k] for k in ("cpu", "wall", "gib", "rounds")}
        print(f"{name} / sesame: cpu {ratio['cpu']:.2f}, wall {ratio['wall']:.2f}, memory {ratio['gib']:.2f}, rounds {ratio['rounds']:.2f}")
    print(f"largest difference of a share: {difference:.2e}")


if __name__ == "__main__":
    main()
