"""What two runs of the same configuration must agree on, to the byte."""

import hashlib
from pathlib import Path

# What may differ, and why.
LEFT_OUT = {
    "logs/": "times of day, host names",
    "benchmarks/": "seconds and memory of each job",
    "timings/": "measured milliseconds per lead",
    "metrics/ablation.tsv-metadata.json": "holds the sum of a table with measured milliseconds",
    "model_cards/": "show the measured milliseconds",
    "report.html": "shows the measured milliseconds",
}
TIMED = ("ms_per_lead", "neurokit_ms_per_lead", "ratio")  # columns of metrics/ablation.tsv


def digests(results: Path) -> dict[str, str]:
    """Hash every file that must come out the same."""
    found = {}
    for path in sorted(p for p in results.rglob("*") if p.is_file()):
        name = path.relative_to(results).as_posix()
        if name.startswith(tuple(LEFT_OUT)):
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # what a job of a killed head was writing aside
            continue
        if name == "metrics/ablation.tsv":
            content = _without_times(content.decode()).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def _without_times(table: str) -> str:
    rows = [line.split("\t") for line in table.splitlines()]
    kept = [i for i, name in enumerate(rows[0]) if name not in TIMED]
    assert len(kept) == len(rows[0]) - len(TIMED)
    return "\n".join("\t".join(row[i] for i in kept) for row in rows)
