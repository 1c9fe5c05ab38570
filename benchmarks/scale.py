"""Growth of the whole workflow with the size of its data: ``make bench-scale``.

For each scale simulates 200 records of 12 leads times the scale, in parts of 100 records, and runs
the workflow on them in a folder of its own: one small setting for one epoch, one token stream.
Prints wall time per record, peak memory of the largest job of each rule, the time to build the DAG
and that of a run with nothing to do; then how the first two grew between the two largest scales,
with limits.

A run that was stopped goes on where it stopped, and one that is complete is not run again; its
seconds are those of all its runs together. So the scales may be run one by one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.bench import print_table
from benchmarks.high_water.sitecustomize import FOLDER
from benchmarks.training import VERDICTS
from openecg.made import commit_of

ROOT = Path(__file__).parents[1]
DATASET = "simulated_scale"
RECORDS, PART_RECORDS = 200, 100
MEMORY_MB = 64  # for training windows: 200 records fit, 2,000 do not
MOST_GROWTH = 1.2  # of time per record and of memory, from one scale to ten times as much
SCORING = ("score-frames", "score-boundaries", "score-classical")  # the commands of rule score
MEASURED = "measured.json"
HIGH_WATER = "high_water"
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def main(argv: list[str] | None = None) -> int:
    """Read the options, run the scales, print the tables; 1 if a limit is not kept."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale", description=__doc__)
    parser.add_argument("scales", nargs="*", type=int, default=[1, 10, 100])
    parser.add_argument("--folder", type=Path, help="where to run, and to go on; else temporary")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args(argv)
    scales = sorted(set(options.scales))
    if not scales or scales[0] < 1:
        parser.error("scales are whole numbers from 1 on")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="openecg-scale-"))
    try:
        measured = {}
        for scale in scales:
            place = folder.absolute() / f"scale-{scale}"
            measured[scale] = measure(scale, place, cores=options.cores)
            print_table(scale_rows(measured))
            print(flush=True)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    print("of each rule: memory of its largest job, processor time of all its jobs per record")
    print_table(memory_rows(measured))
    if len(scales) < 2:
        return 0
    print()
    rows, kept = growth_rows(*(measured[scale] for scale in scales[-2:]))
    print_table(rows)
    print(f"\nlimits: {VERDICTS[kept]}")
    return 0 if kept else 1


def overlay(scale: int) -> dict[str, Any]:
    """Make the configuration of a scale, which lies over that of the workflow.

    Parameters
    ----------
    scale : int
        1 stands for 200 records.
    """
    records = RECORDS * scale
    split = {"rule": "rhythm", "held_out": "validation", "fraction": 0.2, "seed": 42}
    spec = {
        "layout": "ludb",
        "simulate": {"records": records, "seed": 1},
        "parts": records // PART_RECORDS,
        "windows": {"rule": "cover"},
        "split": split,
    }
    setting = {
        "base": "F",
        "train_on": [DATASET],
        "model": {"d_model": 16, "layers": 1, "heads": 2, "feed_forward": 32},
        "training": {"epochs": 1, "batch_size": 48, "tuning_fold": 0},
    }
    return {
        "datasets": [DATASET],
        "baselines": ["prominence"],
        "train": ["scale", "scale+original"],
        "scoring": {"bootstrap": 100},
        "timing": {"leads": 12},
        "report": {"strips": 4},
        "training_threads": 1,
        "training_memory_mb": MEMORY_MB,
        "specs": {DATASET: spec},
        "settings": {"scale": setting},
    }


def measure(scale: int, place: Path, *, cores: int) -> dict[str, Any]:
    """Run the workflow at one scale, or go on with it.

    Parameters
    ----------
    scale : int
        1 stands for 200 records.
    place : Path
        Folder of this scale.
    cores : int
        For Snakemake.

    Returns
    -------
    dict
        ``records``; in s ``wall_s``, ``dag_s`` and ``no_op_s``; ``memory_mb``, by rule the peak of
        its largest job, and ``cpu_s``, by rule the sum over its jobs.

    Raises
    ------
    SystemExit
        If the workflow fails, or the folder holds figures of another commit.
    """
    place.mkdir(parents=True, exist_ok=True)
    config, notes = place / "scale.yaml", place / MEASURED
    wanted = yaml.safe_dump(overlay(scale))
    if not config.exists() or config.read_text() != wanted:
        config.write_text(wanted)
        notes.unlink(missing_ok=True)
        shutil.rmtree(place / HIGH_WATER, ignore_errors=True)
    commit = commit_of(ROOT / "openecg")
    found: dict[str, Any] = {"commit": commit}
    if notes.exists():
        found = json.loads(notes.read_text())
        if found.get("commit") != commit:
            raise SystemExit(
                f"{notes}: measured at commit {found.get('commit')}, and this is {commit}; delete"
                f" {place}, or name another folder"
            )
    snakemake = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(config)]
    snakemake += ["--directory", str(place), "--cores", str(cores)]
    if "no_op_s" not in found:
        found["records"] = RECORDS * scale
        if "dag_s" not in found:
            found["dag_s"] = _run([*snakemake, "--dry-run", "--quiet"], place)
            notes.write_text(json.dumps(found))
        started = time.monotonic()
        try:
            _run([sys.executable, "-m", "openecg.head", *snakemake], place)
        finally:
            found["wall_s"] = found.get("wall_s", 0) + time.monotonic() - started
            notes.write_text(json.dumps(found))
        found["no_op_s"] = _run(snakemake, place)
        found |= job_figures(place / "results" / "benchmarks", place / HIGH_WATER)
        notes.write_text(json.dumps(found))
    return found


def job_figures(folder: Path, high_water: Path) -> dict[str, dict[str, float]]:
    """Read what Snakemake measured of the jobs, and what Linux knew of their memory.

    Parameters
    ----------
    folder : Path
        Of the benchmarks: a file per rule, or a folder of them.
    high_water : Path
        What ``sitecustomize`` noted: a file per command of ``openecg``, which has the name of its
        rule, but for ``SCORING``.

    Returns
    -------
    dict
        ``memory_mb``, by rule the largest resident set in MB, the larger of both, and ``cpu_s``,
        by rule the time of the processor in s of all jobs.
    """
    memory_mb: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        table = pd.read_csv(path, sep="\t", na_values=["NA", "-"])
        if pd.notna(table["max_rss"].max()):
            memory_mb[rule] = max(memory_mb.get(rule, 0.0), float(table["max_rss"].max()))
        cpu_s[rule] = cpu_s.get(rule, 0.0) + float(table["cpu_time"].sum())
    for rule in cpu_s:
        for command in SCORING if rule == "score" else (rule.replace("_", "-"),):
            noted = high_water / command
            if noted.exists():
                peak_mb = max(map(int, noted.read_text().split())) / 1024
                memory_mb[rule] = max(memory_mb.get(rule, 0.0), peak_mb)
    return {"memory_mb": memory_mb, "cpu_s": cpu_s}


def scale_rows(measured: dict[int, dict[str, Any]]) -> list[list[str]]:
    """Lay out the time of the runs, a row for each scale."""
    head = ["scale", "records", "wall s", "wall s per record", "CPU s per record"]
    rows = [[*head, "peak MB", "DAG s", "no-op s"]]
    for scale, one in measured.items():
        per_record = one["wall_s"] / one["records"], sum(one["cpu_s"].values()) / one["records"]
        rows.append(
            [
                f"{scale}",
                f"{one['records']:,}",
                f"{one['wall_s']:,.0f}",
                *(f"{seconds:.3f}" for seconds in per_record),
                f"{max(one['memory_mb'].values()):,.0f}",
                *(f"{one[name]:.1f}" for name in ("dag_s", "no_op_s")),
            ]
        )
    return rows


def memory_rows(measured: dict[int, dict[str, Any]]) -> list[list[str]]:
    """Lay out the memory of the largest job and processor time per record, a row for each rule."""
    rules = sorted({rule for one in measured.values() for rule in one["memory_mb"]})
    rows = [
        [
            "rule",
            *(f"MB at {scale}" for scale in measured),
            *(f"CPU ms at {scale}" for scale in measured),
        ]
    ]
    for rule in rules:
        peaks = [one["memory_mb"].get(rule) for one in measured.values()]
        spent = [one["cpu_s"].get(rule, 0.0) / one["records"] for one in measured.values()]
        cells = ["-" if peak is None else f"{peak:,.0f}" for peak in peaks]
        rows.append([rule, *cells, *(f"{1000 * seconds:.1f}" for seconds in spent)])
    return rows


def growth_rows(smaller: dict[str, Any], larger: dict[str, Any]) -> tuple[list[list[str]], bool]:
    """Compare two scales.

    Returns
    -------
    rows : list of list of str
        What grew, from where to where, by what factor, with the limit and the verdict.
    kept : bool
        Whether all limits are kept.
    """
    pairs = {"wall s per record": [one["wall_s"] / one["records"] for one in (smaller, larger)]}
    pairs["peak MB of any job"] = [max(one["memory_mb"].values()) for one in (smaller, larger)]
    for rule in sorted(set(smaller["memory_mb"]) & set(larger["memory_mb"])):
        pairs[f"peak MB of {rule}"] = [one["memory_mb"][rule] for one in (smaller, larger)]
    rows = [
        [
            "growth",
            f"at {smaller['records']:,} records",
            f"at {larger['records']:,}",
            "factor",
            "limit",
            "verdict",
        ]
    ]
    verdicts = []
    for name, (before, after) in pairs.items():
        verdicts.append(after / before <= MOST_GROWTH)
        cells = [f"{before:,.3g}" if before < 100 else f"{before:,.0f}"]
        cells += [f"{after:,.3g}" if after < 100 else f"{after:,.0f}", f"{after / before:.2f}"]
        rows.append([name, *cells, f"{MOST_GROWTH}", VERDICTS[verdicts[-1]]])
    return rows, all(verdicts)


def _run(command: list[str], place: Path) -> float:
    """Run a command in a folder, its output beside; return its seconds."""
    paths = [str(Path(__file__).parent / HIGH_WATER), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    (place / HIGH_WATER).mkdir(exist_ok=True)
    environment[FOLDER] = str(place / HIGH_WATER)
    with (place / "scale.log").open("a") as log:
        started = time.monotonic()
        ended = subprocess.run(command, cwd=place, env=environment, stdout=log, stderr=log)
        seconds = time.monotonic() - started
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {ended.returncode}; see {log.name}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
