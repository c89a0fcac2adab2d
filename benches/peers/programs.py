"""What the comparisons of whole runs share: a program with its pipeline, one measured call, and what is printed.

A program is a binary of sesame with the folder `pipelines/` of its own commit, for an older one refuses settings and
tables that came after it. The tables that it is given are those of its pipeline's `[inputs]`.
"""
import os
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A binary with its pipelines, over one population."""

    def __init__(self, binary, pipelines, export, without=(), flags=()):
        self.binary, self.pipelines, self.without, self.flags = Path(binary), Path(pipelines), without, list(flags)
        if not self.binary.is_file():
            sys.exit(f"{binary} is no program; `cargo build --release` makes one")
        self.inputs = []
        for table in tomllib.loads((self.pipelines / "nightly.toml").read_text())["inputs"]:
            path = export / table
            path = path if path.is_dir() else path.with_suffix(".parquet")
            if table in without:
                self.inputs += ["--set", f'inputs.{table}=""']
            elif path.exists():
                self.inputs += ["--set", f'inputs.{table}="{path}"']
            else:
                sys.exit(f"{path} does not exist; `sesame generate` writes it")

    def over(self, export):
        """The same over another export."""
        return Program(self.binary, self.pipelines, export, self.without, self.flags)

    def model(self):
        """The model file of its pipelines."""
        nightly = tomllib.loads((self.pipelines / "nightly.toml").read_text())
        return (self.pipelines / nightly["model"]).resolve()

    def command(self, verb, pipeline, out, *more):
        """A command that scores into an output folder."""
        return [str(self.binary), verb, str(self.pipelines / pipeline), "--quiet", *self.inputs, "--set", f'output="{out}"', *self.flags,
                *more]

    def check(self, as_of):
        """Ends with what the program says when it refuses its pipeline, before anything is measured."""
        told = subprocess.run([self.binary, "plan", self.pipelines / "nightly.toml", "--as-of", as_of, *self.inputs],
                              capture_output=True, text=True)
        if told.returncode:
            sys.exit(f"{self.binary} refuses {self.pipelines}:\n{told.stderr}\nGive the pipelines of its own commit, for instance\n"
                     "    git archive COMMIT pipelines | tar x -C /tmp/older\nand --against-pipelines /tmp/older/pipelines, and with "
                     "--against-without the tables that it may do without.")


def add_arguments(parser):
    """The flags of a comparison of whole runs."""
    parser.add_argument("export", type=Path, help="a population of `sesame generate`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    parser.add_argument("--against", type=Path, metavar="BINARY", help="an older binary, run in the same rounds")
    parser.add_argument("--against-pipelines", type=Path, metavar="DIR", default=ROOT / "pipelines", help="the pipelines of its commit")
    parser.add_argument("--against-without", metavar="TABLE", nargs="+", default=[], help="tables of them that it does without")
    parser.add_argument("--threads", type=int, help="of sesame, old and new; all cores when not given")
    parser.add_argument("--memory", help="of sesame, old and new, such as 512MB; what each takes by itself when not given")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="of the pipeline of sesame, old and new: for instance "
                        "gates.min_scored_share=0.1 where the population has only two months")
    parser.add_argument("--work", type=Path, help="a folder on a disk with room for outputs and scratch")


def programs(args, as_of):
    """By name: `sesame`, and `against` when one is given; each takes its pipeline."""
    flags = [f"--{name}={value}" for name in ("threads", "memory") if (value := getattr(args, name)) is not None]
    flags += [part for override in args.set for part in ("--set", override)]
    export = args.export.resolve()
    found = {"sesame": Program(args.target / "release" / "sesame", ROOT / "pipelines", export, flags=flags)}
    if args.against:
        found["against"] = Program(args.against.resolve(), args.against_pipelines.resolve(), export, args.against_without, flags)
    for program in found.values():
        program.check(as_of)
    return found


def bench(target, name):
    """The newest program that `cargo bench --no-run` made of a bench."""
    built = [p for p in (target / "release" / "deps").glob(f"{name}-*") if not p.suffix and os.access(p, os.X_OK)]
    if not built:
        sys.exit(f"no bench {name} in {target}; `cargo bench --no-run` makes it")
    return max(built, key=lambda p: p.stat().st_mtime)


def measure(command):
    """Wall seconds, CPU seconds and peak memory of a command, in GiB; ends with a command that fails.

    The peak is no less than what this Python holds when the command begins, so that nothing large is imported here.
    """
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"ended with {child.returncode}: {' '.join(map(str, command))}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def warm(folder):
    """Reads every file once, so that no program alone pays for what the system has not cached."""
    for path in folder.rglob("*.parquet"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def emptied(folder):
    """A folder that holds nothing: an output in which nothing is kept of an earlier round."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def medians(results):
    """The median of each figure, by name."""
    return {name: [statistics.median(figures) for figures in zip(*rounds)] for name, rounds in results.items()}


def print_medians(results):
    """Wall, CPU and peak of each."""
    width = max(map(len, results))
    for name, (wall, cpu, peak) in medians(results).items():
        print(f"{name:{width}}  wall {wall:7.1f} s   cpu {cpu:7.1f} s   peak {peak:5.2f} GiB")


def print_ratio(results, one, other):
    """Of wall and CPU the ratio of the medians, and the smallest and the largest ratio of a round."""
    parts = []
    for what, i in (("cpu", 1), ("wall", 0)):
        ratios = [mine[i] / theirs[i] for mine, theirs in zip(results[one], results[other])]
        ratio = medians(results)[one][i] / medians(results)[other][i]
        parts.append(f"{what} {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"{one} / {other}: " + ", ".join(parts))
