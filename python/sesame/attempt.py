"""One attempt at a shard: the program as a child of a task, in a folder of its own.

The child talks through files alone: a full pipe that nobody reads would stop it for ever. It dies with its task. Its log
lies beside its folder, and the folder is there when the shard is complete, so whoever gathers takes none that was cut off.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1

#: Lines of a child's log that an error shows.
TAIL = 20


@dataclass(frozen=True)
class Work:
    """What every task is given."""

    binary: str | None
    spec: str
    rated: str
    threads: int
    memory: str


class ChildFailed(RuntimeError):
    """The program ended without a shard."""


def program(binary: str | None) -> str:
    """The program: what is named, or the one that this wheel put beside its Python."""
    if binary:
        return binary
    beside = Path(sys.executable).parent / "sesame"
    return str(beside) if beside.exists() else "sesame"


def dying_with_parent(sign: int) -> Callable[[], None]:
    """What a child does first: ask the system for a signal when its parent dies."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, sign)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def ended(code: int) -> str:
    """How a child ended, in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def tail(log: Path, lines: int = TAIL) -> str:
    """The last lines of a log."""
    text = log.read_text(errors="replace").splitlines()
    return "\n".join(text[-lines:]) or "(it wrote nothing)"


def command(work: Work, shard: int, out: Path, scratch: str) -> list[str]:
    """How the program is called for a shard."""
    machine = ["--threads", str(work.threads), "--memory", work.memory, "--scratch", scratch]
    rate = ["shard", "rate", work.spec, "--shard", str(shard), "--out", str(out)]
    return [program(work.binary), *rate, *machine, "--quiet"]


def local_disk() -> str | None:
    """Where the executor may write, of which nobody else needs to see anything."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return folder if os.path.isdir(folder) else None


def rate(work: Work, shard: int) -> str:
    """Makes a shard, on an executor; returns its folder.

    A shard whose rows contradict each other is a folder as well: gathering tells what is wrong in all such shards at once.
    """
    out = Path(work.rated) / f"{shard}-{uuid.uuid4().hex}"
    log = out.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix="sesame-", dir=local_disk()) as scratch, log.open("wb") as to:
        child = subprocess.Popen(
            command(work, shard, out, scratch),
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )
        code = child.wait()
    if (out / "shard.json").is_file():
        return str(out)
    raise ChildFailed(f"shard {shard}: {ended(code)}; {log} ends with\n{tail(log)}")


def complete(rated: Path) -> dict[int, str]:
    """The shards that earlier tasks of the same plan made, each once: a folder with a shard.json is complete."""
    found = sorted(rated.glob("[0-9]*-*/shard.json")) if rated.is_dir() else []
    return {int(path.parent.name.split("-")[0]): str(path.parent) for path in found}
