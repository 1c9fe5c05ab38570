"""Snakemake at work in a folder, to be watched and killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Run:
    """A Snakemake at work; ``command`` is the module that starts it, with its options."""

    def __init__(self, root: Path, *command: str, env: dict[str, str] | None = None) -> None:
        self.root = root
        self.log = root / f"run-{time.monotonic_ns()}.log"
        self.started = time.monotonic()
        env = {**os.environ, **(env or {})}
        path = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=root,
                env={**env, "PATH": path},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, true: Callable[[], object], limit_s: float = 300) -> None:
        """Wait until something is true, or the run is over."""
        until = time.monotonic() + limit_s
        while not true() and self.running():
            assert time.monotonic() < until, self.said()[-3000:]
            time.sleep(0.05)

    def has_finished(self, number: int) -> bool:
        """Tell whether so many steps are done and another one runs."""
        said = self.said()
        going = "\nExecute " in said and said.count("\nFinished jobid: ") >= number
        return going and bool(steps(self.root))

    def is_training(self) -> bool:
        return "train" in steps(self.root).values()

    def kill(self) -> None:
        """Kill Snakemake itself, and nothing else."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, limit_s: float = 600) -> str:
        """Wait for its end; return what it said."""
        self.process.wait(limit_s)
        return self.said()

    def succeeded(self) -> str:
        """Wait for its end, which must be a good one; return what it said."""
        said = self.end()
        assert self.process.returncode == 0, said[-5000:]
        return said

    def succeed(self) -> int:
        """Wait for its end, which must be a good one; return the seconds since it began."""
        self.succeeded()
        return round(time.monotonic() - self.started)

    @property
    def name(self) -> str:
        """The name of its jobs in SLURM."""
        found = re.search(r"^SLURM run ID: (\S+)$", self.said(), re.M)
        assert found, self.said()
        return found[1]


def steps(root: Path) -> dict[int, str]:
    """Find the running steps of a checkout on this machine: process and name."""
    mark, found = f"OPENECG_HEAD={root}".encode(), {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (path / "environ").read_bytes().split(b"\0"):
                continue
            words = (path / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if words[1:3] == ["-m", "openecg"]:
            found[int(path.name)] = words[3]
    return found
