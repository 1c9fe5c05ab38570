"""Imported by every Python that has this folder in PYTHONPATH: notes the largest memory it had.

Only for the jobs of ``benchmarks.scale``. Snakemake looks at a job twice a second, later twice a
minute, and misses what is short; Linux keeps the largest resident set of a process itself.
"""

import atexit
import os
import re
import sys
from pathlib import Path

FOLDER = "OPENECG_HIGH_WATER"  # where to note it, a file per command of openecg


def note() -> None:
    """Add a line, in KiB, to the file of the command that ran."""
    program, *arguments = sys.argv or [""]
    if Path(program).parts[-2:] == ("openecg", "__main__.py") and arguments:
        status = Path("/proc/self/status").read_text()
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
        if peak:
            with (Path(os.environ[FOLDER]) / arguments[0]).open("a") as file:
                file.write(f"{peak[1]}\n")


if FOLDER in os.environ and Path("/proc/self/status").exists():
    atexit.register(note)
