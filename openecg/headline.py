"""The most important scores of a run, as plain text."""

import textwrap
from pathlib import Path

import pandas as pd

from openecg.datasets import SIMULATED
from openecg.errors import DataError
from openecg.files import read_tsv
from openecg.groups import ALL
from openecg.report.parts import count, label, number
from openecg.scored_split import MEAN_SEED
from openecg.tables import where
from openecg.tolerances import TOLERANCES
from openecg.waves import KINDS

TOLERANCE_NAMES = {"martinez": "Martinez", "150ms": "150 ms"}
WAVES = tuple(KINDS.values())
HEADLINE_COLUMNS = 80


def print_headline(*, frames: Path, boundaries: Path, report: Path) -> None:
    """Print the headline table of a run, and where its report is."""
    print(headline(_read_scores(frames), _read_scores(boundaries)))
    print(f"\nReport: {report}\nTables: {frames}, {boundaries}")


def tolerance_text(*names: str) -> str:
    """Say in ms how far off a boundary may be, for some sets of tolerances or for all."""
    texts = []
    for name in names or TOLERANCES:
        by_boundary = TOLERANCES[name]
        if len(set(by_boundary.values())) == 1:
            parts = [f"{next(iter(by_boundary.values())):g} ms for all"]
        else:
            parts = []
            for wave in WAVES:
                on, off = (by_boundary[f"{wave}_{side}"] for side in ("on", "off"))
                both = {f"{wave} on": on, f"{wave} off": off} if on != off else {wave: on}
                parts += [f"{what} {ms:g} ms" for what, ms in both.items()]
        texts.append(f"{TOLERANCE_NAMES[name]}: {', '.join(parts)}")
    return "; ".join(texts)


def headline(frames: pd.DataFrame, boundaries: pd.DataFrame) -> str:
    """Return the most important scores as plain text of at most 80 columns.

    Parameters
    ----------
    frames, boundaries : DataFrame
        Collected metric tables.

    Returns
    -------
    str
        Frame F1 and boundary macro F1 at Martinez tolerances in protocol ``annotated_span``, all
        leads, one line per data set, split, system and seed.
    """
    kept = where(frames, protocol="annotated_span", lead_group="all")
    macro = where(
        boundaries,
        protocol="annotated_span",
        lead_group="all",
        tolerance="martinez",
        boundary="macro",
    )
    lines = textwrap.wrap(
        f"Frame F1, and boundary macro F1 ({tolerance_text('martinez')}) with its 95 % interval; "
        "protocol annotated_span, all leads",
        HEADLINE_COLUMNS,
    )
    for (dataset, split), rows in kept.groupby(["dataset", "split"], sort=False):
        title = f"{dataset}, {split} split, {count(rows['n_records'], 'record')}"
        if str(dataset).startswith(SIMULATED):
            title += " (simulated data)"
        lines += ["", textwrap.shorten(title, HEADLINE_COLUMNS)]
        lines.append(f"{'':32}{'P':>7}{'QRS':>7}{'T':>7}   boundary macro F1")
        for system, seed in _systems(rows):
            own = where(rows, system=system, seed=seed).set_index("wave")["f1"]
            scores = "".join(f"{number(own.get(wave)):>7}" for wave in WAVES)
            one = where(macro, dataset=dataset, split=split, system=system, seed=seed)
            f1, low, high = one[["f1", "f1_lo", "f1_hi"]].iloc[0] if len(one) else (None,) * 3
            interval = "" if pd.isna(low) else f" [{number(low)}, {number(high)}]"
            name = textwrap.shorten(label(system, seed), 30, placeholder="…")
            lines.append(f"  {name:30}{scores}   {number(f1)}{interval}")
    return "\n".join(lines)


def _read_scores(path: Path) -> pd.DataFrame:
    """Read the rows of all records; of several seeds their mean, without seed ``""``."""
    table = read_tsv(path)
    if table.empty:
        raise DataError(f"{path}: no rows; at least one scored system is needed")
    table = where(table.fillna({"seed": ""}), record_group=ALL)
    scored = pd.MultiIndex.from_frame(table[["system", "dataset", "split"]])
    is_mean = (table["seed"] == MEAN_SEED).to_numpy()
    return table[is_mean | ~scored.isin(scored[is_mean])]


def _systems(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of system and seed in the order of the table."""
    return list(dict.fromkeys(zip(table["system"], table["seed"], strict=True)))
