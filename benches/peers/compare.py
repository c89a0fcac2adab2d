"""A whole `sesame run` against DuckDB, the decode floor and an older sesame, in turn on the same population.

    pip install -r benches/peers/requirements.txt
    cargo build --release && cargo bench --no-run
    target/release/sesame generate /tmp/population --subjects 1000000 --seed 1
    python benches/peers/compare.py /tmp/population [--rounds 3] [--memory 512MB]

With an older binary in the same rounds, over the tables that the pipeline of its commit names:

    mkdir /tmp/older && git archive b9e38e2 pipelines | tar x -C /tmp/older
    python benches/peers/compare.py /tmp/population --against /tmp/older/sesame --against-pipelines /tmp/older/pipelines

DuckDB executes only the SQL of `sesame plan --sql`, through views that cast and cut off (duckdb_features.py); sesame
does everything: hashes and checks every row, removes duplicates, resolves versions, consents and disputes, scores,
explains and writes, into an output folder that is empty at the beginning of each round. In a round each has its turn,
after the files were read once. Prints wall and CPU seconds and peak memory of each, medians over the rounds, and the
ratios of all pairs with the smallest and the largest of a round.
"""
import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import programs

OURS = ("sesame", "against")


def main():
    parser = argparse.ArgumentParser()
    programs.add_arguments(parser)
    parser.add_argument("--as-of", default="2025-10-31")
    parser.add_argument("--without-duckdb", action="store_true", help="leave DuckDB out, which takes most of the time")
    args = parser.parse_args()
    ours = programs.programs(args, args.as_of)
    sesame, export = ours["sesame"], args.export.resolve()
    floor = programs.bench(args.target, "decode_floor")
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        work = Path(work)
        outputs = {name: work / name for name in ours}
        plan = [sesame.binary, "plan", "--sql", sesame.pipelines / "nightly.toml", "--as-of", args.as_of, "--quiet", *sesame.inputs]
        sql = work / "features.sql"
        sql.write_text(subprocess.run(plan, check=True, capture_output=True, text=True).stdout)
        threads = [str(args.threads)] if args.threads else []
        commands = {"floor": [str(floor), str(export), *threads]}
        commands |= {name: ours[name].command("run", "nightly.toml", outputs[name], "--as-of", args.as_of) for name in OURS if name in ours}
        if not args.without_duckdb:
            commands["duckdb"] = [sys.executable, str(programs.ROOT / "benches/peers/duckdb_features.py"), str(export), str(sql), args.as_of,
                                  "--out", str(work / "features.parquet"), *(["--threads", *threads] if threads else [])]
        results = {name: [] for name in commands}
        programs.warm(export)
        for _ in range(args.rounds):
            for name, command in commands.items():
                if name in outputs:
                    programs.emptied(outputs[name])
                results[name].append(programs.measure(command))
    programs.print_medians(results)
    order = [name for name in ("sesame", "against", "duckdb", "floor") if name in results]
    for one, other in itertools.combinations(order, 2):
        programs.print_ratio(results, one, other)


if __name__ == "__main__":
    main()
