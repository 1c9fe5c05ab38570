"""What a run with nothing to do costs: ``make bench-no-op CONFIG=...``.

Plans a configuration in an empty folder, puts a file of one word in the place of every output, lets
Snakemake note them all as made (``--touch``), and times a run that then finds nothing to do. No
data are needed and nothing is computed. Prints the number of jobs and the seconds.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.bench import print_table
from benchmarks.scale import ROOT, SNAKEMAKE

LARGEST = ROOT / "configs" / "published.yaml"
NOTHING = "Nothing to be done"


def main(argv: list[str] | None = None) -> int:
    """Read the options, measure, print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.no_op", description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=LARGEST)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="openecg-no-op-") as folder:
        print_table(measure(options.config.absolute(), Path(folder)))
    return 0


def measure(config: Path, folder: Path) -> list[list[str]]:
    """Measure a run with nothing to do.

    Parameters
    ----------
    config : Path
        Lies over ``workflow_config.yaml``.
    folder : Path
        Empty, to work in.

    Returns
    -------
    list of list of str
        Rows of a table.

    Raises
    ------
    SystemExit
        If Snakemake fails, or finds something to do.
    """
    snakemake = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(config)]
    snakemake += ["--directory", str(folder), "--cores", "1"]
    told, plan_s = _run([*snakemake, "--dry-run"])
    jobs, outputs = planned(told)
    for output in outputs:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("nothing\n")  # empty files are refused
    _run([*snakemake, "--touch", "--forceall"])
    told, no_op_s = _run(snakemake)
    if NOTHING not in told:
        raise SystemExit(f"{config}: a second run finds something to do: {told[-2000:]}")
    most = ", ".join(f"{n} {rule}" for rule, n in jobs.most_common(4))
    return [
        [config.name, ""],
        ["jobs in the DAG", f"{jobs.total():,}"],
        ["most of them", most],
        ["files they make", f"{len(outputs):,}"],
        ["dry run of all, s", f"{plan_s:.1f}"],
        ["run with nothing to do, s", f"{no_op_s:.1f}"],
    ]


def planned(told: str) -> tuple[Counter[str], list[str]]:
    """Read from what a dry run prints how many jobs each rule has, and the files they make."""
    rules = re.findall(r"^(?:local)?rule (\w+):$", told, re.M)
    lists = re.findall(r"^    output: (.+)$", told, re.M)
    return Counter(rules), [path for line in lists for path in line.split(", ")]


def _run(command: list[str]) -> tuple[str, float]:
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
