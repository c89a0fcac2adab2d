"""What a night costs, and a backfill, in parts of the first run of an older sesame: everything with one command.

    pip install -r benches/peers/requirements.txt
    cargo build --release
    target/release/sesame generate /tmp/population --subjects 60000 --seed 1
    mkdir /tmp/older && git archive b9e38e2 pipelines | tar x -C /tmp/older
    python benches/peers/nights.py /tmp/population --against /tmp/older/sesame --against-pipelines /tmp/older/pipelines [--rounds 3]

/tmp/older/sesame is the older binary. It is given the tables that its own pipeline names; `--against-without sales` takes
more away. Without `--against` the ratios are to the first run of this one. In each round, one after the other:

- the first run of each, into an empty output;
- `backfill` of twelve month ends into another one, and there the same with an edited copy of the model: another version,
  and a hundredth of one weight given to another;
- three nights of one output: the export as it was on the evening of the first, and then every evening one more file a
  table, with the rows that became known that day (split_days.py). The first night reads everything, the second keeps the
  rows of what it has seen before, from the third on only what was added is read. `again` is the third night's date over
  the same files into an empty output.

`--steps first nights` measures only some, `--against-steps` more of the older one than its first run. Prints medians of wall and CPU
seconds and of the peak memory, and the ratios to the first line with the smallest and the largest of a round.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import programs
from programs import emptied, measure

STEPS = ["first", "backfill", "nights"]


def edited(model, folder):
    """A copy of a model with another version and another first weight, which names its catalogue where it is."""
    text = model.read_text()
    text, catalogue = re.subn(r'"(\.\.?/[^"]+\.toml)"', lambda m: f'"{(model.parent / m[1]).resolve()}"', text)
    text, version = re.subn(r'^version = "[^"]*"', 'version = "edited"', text, count=1, flags=re.M)
    # Weights of a segment add up to a hundred.
    moved = lambda m: f"{m[1]}{int(m[2]) - 1}{m[3]}{int(m[4]) + 1}"
    text, weights = re.subn(r"^(weights = \{ \w+ = )([1-9]\d*)(, \w+ = )(\d+)", moved, text, count=1, flags=re.M)
    if not (catalogue and version and weights):
        sys.exit(f"{model} is not written as expected: no catalogue, version or weights of a segment were found")
    copy = folder / "edited.toml"
    copy.write_text(text)
    return copy


def month_ends(as_of):
    """The first and the last of twelve month ends, up to a date."""
    last = as_of if (as_of + timedelta(days=1)).day == 1 else as_of.replace(day=1) - timedelta(days=1)
    month = last.year * 12 + last.month - 11   # of the day after the first one
    return date(month // 12, month % 12 + 1, 1) - timedelta(days=1), last


def add(folder, exports):
    """Adds the files of a day."""
    for source in folder.rglob("*.parquet"):
        os.link(source, exports / source.relative_to(folder))


def first(program, as_of, out):
    return {"first run": measure(program.command("run", "nightly.toml", emptied(out), "--as-of", str(as_of)))}


def backfill(program, as_of, out):
    start, end = map(str, month_ends(as_of))
    command = program.command("backfill", "backfill.toml", emptied(out), "--from", start, "--to", end, "--every", "month")
    made = measure(command)
    return {"backfill of 12 month ends": made, "the same, another model": measure([*command, "--model", str(edited(program.model(), out.parent))])}


def nights(program, days, split, out):
    """Three nights of one folder, to which a day's files are added before each but the first."""
    names = ["first night", "second night, a day added", "third night, a day added"]
    exports = split.parent / "exports"
    shutil.rmtree(exports, ignore_errors=True)
    shutil.copytree(split / "exports", exports, copy_function=os.link)
    program, figures = program.over(exports), {}
    emptied(out)
    for name, day in zip(names, days):
        if day != days[0]:
            add(split / str(day), exports)
        figures[name] = measure(program.command("run", "nightly.toml", out, "--as-of", str(day)))
    figures["again, from nothing"] = measure(program.command("run", "nightly.toml", emptied(out), "--as-of", str(days[-1])))
    return figures


def main():
    parser = argparse.ArgumentParser()
    programs.add_arguments(parser)
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2025, 10, 31), help="the last day of the population")
    parser.add_argument("--steps", choices=STEPS, nargs="+", default=STEPS)
    parser.add_argument("--against-steps", choices=STEPS, nargs="+", default=["first"], help="of the older binary, its first run anyway")
    args = parser.parse_args()
    ours = programs.programs(args, str(args.as_of))
    # A month's last day has all its sales; the nights before are like any other.
    days = [args.as_of - timedelta(days=n) for n in (3, 2, 1)]
    steps = {"against": {"first", *args.against_steps}, "sesame": {"first", *args.steps}}
    order = [(name, step) for step in STEPS for name in ("against", "sesame") if name in ours and step in steps[name]]
    results = {}
    with tempfile.TemporaryDirectory(dir=args.work or args.export.resolve().parent) as work:
        work = Path(work)
        split, out = work / "split", work / "out"
        if any(step == "nights" for _, step in order):
            # In a process of its own, so that this one stays small: see `measure`.
            script = programs.ROOT / "benches/peers/split_days.py"
            subprocess.run([sys.executable, script, args.export.resolve(), split, *map(str, days)], check=True)
        programs.warm(args.export.resolve())
        for _ in range(args.rounds):
            for name, step in order:
                of = {"first": lambda p: first(p, args.as_of, out), "backfill": lambda p: backfill(p, args.as_of, out),
                      "nights": lambda p: nights(p, days, split, out)}
                for line, figures in of[step](ours[name]).items():
                    results.setdefault(f"{name}: {line}", []).append(figures)
    programs.print_medians(results)
    base, *others = results
    for line in others:
        programs.print_ratio(results, line, base)


if __name__ == "__main__":
    main()
