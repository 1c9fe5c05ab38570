"""A small long table of numbers, for the tests of what is made of it."""

import itertools
from pathlib import Path

import pandas as pd

from openecg.files import write_tsv
from openecg.leads import LEADS
from openecg.waves import BOUNDARIES

LUDB, MADE_UP = "ludb", "simulated_ludb"
SOURCES = '{"ludb": "a.zip", "simulated_ludb": "simulated_ludb"}'
SYSTEMS = {"nk_original": "", "C_unmasked+original": "0", "C_unmasked": "0", "F <b>&": "0"}


def boundary_scores(dataset: str, *, systems: dict[str, str] = SYSTEMS) -> pd.DataFrame:
    """Scores as ``score-boundaries`` writes them; F1 of P onsets is 0.8, of others less."""
    rows = [
        {"system": system, "seed": seed, "dataset": dataset, "split": "validation"}
        | {"protocol": protocol, "tolerance": tolerance, "lead_group": lead}
        | {"record_group": group, "boundary": boundary, "tolerance_ms": 50}
        | {"f1": round(0.8 - 0.01 * place - 0.005 * (lead == "V1"), 4), "f1_lo": 0.7, "f1_hi": 0.9}
        | {"sensitivity": 0.85, "ppv": 0.75, "mean_ms": -0.04, "mean_ms_lo": -1, "mean_ms_hi": 1}
        | {"sd_ms": 9.06, "false_per_10_s": 1.239, "n_records": 41, "n_seeds": 1, "bootstrap": 100}
        for (system, seed), protocol, tolerance, (lead, group), (place, boundary) in (
            itertools.product(
                systems.items(),
                ("full_window", "annotated_span"),
                ("martinez", "150ms"),
                [*itertools.product(("all", *LEADS), ["all"]), ("all", "paced")],
                enumerate((*BOUNDARIES, "macro")),
            )
        )
    ]
    return pd.DataFrame(rows)


def frame_scores(dataset: str, *, systems: dict[str, str] = SYSTEMS) -> pd.DataFrame:
    """Scores as ``score-frames`` writes them."""
    rows = [
        {"system": system, "seed": seed, "dataset": dataset, "split": "validation"}
        | {"protocol": protocol, "lead_group": "all", "record_group": "all", "wave": wave}
        | {"f1": 0.6, "f1_lo": 0.5, "f1_hi": 0.7, "sensitivity": 0.6, "ppv": 0.6}
        | {"n_records": 41, "n_seeds": 1, "bootstrap": 100}
        for (system, seed), protocol, wave in itertools.product(
            systems.items(), ("full_window", "annotated_span"), ("P", "QRS", "T", "mean_wave")
        )
    ]
    return pd.DataFrame(rows)


def run_rows(systems: dict[str, str] = SYSTEMS) -> pd.DataFrame:
    """What each system is, as ``list-runs`` writes it."""
    rows = []
    for system, seed in systems.items():
        row: dict[str, object] = {"system": system, "decoding": "NeuroKit dwt"}
        if seed:
            setting, plus, decoding = system.partition("+")
            row |= {"trained_on": "ludb", "training": "masked", "selection": "last epoch"}
            row |= {"epochs": 50, "batch_size": 64, "parameters": 1000 * len(setting)}
            row |= {"decoding": f"min_run_ms 60, {decoding}" if plus else "plain"}
            row |= {"base": "", "changes": ""}
        rows.append(row)
    runs = pd.DataFrame(rows)
    whole = ["epochs", "batch_size", "parameters"]
    return runs.astype(dict.fromkeys([name for name in whole if name in runs], "Int64"))


def write_scores(folder: Path, **systems: dict[str, str]) -> tuple[list[Path], Path]:
    """Write scores of two data sets and what the systems are."""
    tables = {"frames": frame_scores, "boundaries": boundary_scores}
    for name, made in tables.items():
        write_tsv(pd.concat([made(LUDB, **systems), made(MADE_UP, **systems)]), folder / name)
    write_tsv(run_rows(*systems.values()), folder / "runs.tsv")
    return [folder / name for name in tables], folder / "runs.tsv"
