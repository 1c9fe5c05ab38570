"""Sections on probabilities: what they mean, and what cleaning the waves made of them does."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from openecg.files import read_tsv
from openecg.own_decoding import by_own_decoding
from openecg.plots import FEWEST_CASES, reliability
from openecg.report.parts import count, figure, html_table, number
from openecg.report.tables import how_made


def calibration_html(paths: Sequence[Path], runs: pd.DataFrame) -> str:
    """Draw and tabulate the tables of ``calibrate``, a figure for each data set.

    Parameters
    ----------
    paths : sequence of Path
        The tables.
    runs : DataFrame of str
        What each system is, as `openecg.report.tables.how_made` takes it.
    """
    if not paths:
        return ""
    tables = pd.concat([read_tsv(path) for path in paths])
    html = how_made(runs[runs["system"].isin(set(tables["system"]))])
    for (dataset, split), rows in tables.groupby(["dataset", "split"], sort=False):
        systems = {str(name): own for name, own in rows.groupby("system", sort=False)}
        drawn = {name: systems[name] for name in by_own_decoding(systems)}
        place = f"{dataset}, {split} split"
        svg = reliability(drawn, title=place)
        about = (
            f"{place}, {count(rows['n_records'], 'record')}, "
            f"{count(rows['n_seeds'], 'seed')} pooled"
        )
        html += f"<h3>{escape(place)}</h3>\n" + figure(
            svg,
            f"Reliability, {about}: the share of annotated labels that are of a wave, and of "
            "predicted waves that overlap an annotated one, by probability. Bars are 95 % "
            f"intervals by bootstrap over the records. Of {FEWEST_CASES} cases and more. Models as "
            "their settings decode them, or else as they first come; the table has all.",
        )
        html += _summary(rows, about)
    return html


def _summary(rows: pd.DataFrame, about: str) -> str:
    """Tabulate the calibration error and the invented waves of each system."""
    titles = ["System", "Calibration error, labels", "Calibration error, waves"]
    titles += ["Predicted waves", "Invented", "In place"]
    head = "<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"
    body = ""
    every = rows[rows["bin"] == "all"]
    for (system, target), own in every.groupby(["system", "target"], sort=False):
        labels, waves = (own[own["level"] == level].iloc[0] for level in ("label", "wave"))
        cells = [
            f"{escape(str(system))}, {target}",
            _with_interval(labels, "error"),
            _with_interval(waves, "error"),
            f"{waves['n']:.0f}",
            _with_interval(waves, "false_share"),
            _with_interval(waves, "in_place_share"),
        ]
        body += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
    caption = (
        f"{about}. Invented: share of predicted waves that overlap no annotated one of their kind; "
        "in place: share of predicted waves with both ends within Martinez tolerances of one. P "
        "does not count in leads in sinus rhythm without one P mark. "
        f"In brackets 95 % intervals from {count(rows['bootstrap'], 'bootstrap resample')} of the "
        "records."
    )
    return html_table(caption, head, body)


def grid_html(paths: Sequence[Path], runs: pd.DataFrame) -> str:
    """Tabulate the tables of ``score-decoding-grid``, a block for each data set and protocol.

    Parameters
    ----------
    paths : sequence of Path
        The tables.
    runs : DataFrame of str
        As for `calibration_html`; the cleaning of a system is not that of the grid.
    """
    html = ""
    for path in paths:
        table = read_tsv(path)
        html += how_made(runs[runs["system"].isin(set(table["system"]))].assign(decoding=""))
        for (system, dataset, protocol), rows in table.groupby(
            ["system", "dataset", "protocol"], sort=False
        ):
            title = f"{system} on {dataset}, {rows['split'].iloc[0]} split, protocol {protocol}"
            names = {"macro_martinez": "Martinez", "macro_150ms": "150 ms"}
            head = "<tr><th>Cleaning</th>"
            head += "".join(f"<th>macro F1, {name}</th>" for name in names.values()) + "</tr>"
            body = ""
            for _, row in rows.iterrows():
                cells = "".join(f"<td>{_with_interval(row, name)}</td>" for name in names)
                body += f"<tr><td>{escape(_cleaning(row))}</td>{cells}</tr>\n"
            caption = (
                f"{count(rows['n_records'], 'record')}, mean of {count(rows['n_seeds'], 'seed')}, "
                f"in brackets 95 % intervals from {count(rows['bootstrap'], 'bootstrap resample')} "
                "of the records. Runs that are too short are absorbed as in openecg 0.1.0; short "
                "and rare waves are dropped."
            )
            html += f"<h3>{escape(title)}</h3>\n" + html_table(caption, head, body)
    return html


def _cleaning(row: "pd.Series[float]") -> str:
    """Name a cleaning."""
    if row["min_run_ms"]:
        return f"runs under {row['min_run_ms']:g} ms, gaps under {row['merge_gap_ms']:g} ms"
    short = f"waves under {row['min_wave_ms']:g} ms" if row["min_wave_ms"] else ""
    rare = f"fewer P than {row['min_p_share']:g} of the QRS" if row["min_p_share"] else ""
    return ", ".join(filter(None, (short, rare))) or "none"


def _with_interval(row: "pd.Series[float]", name: str) -> str:
    """Write a figure and its interval."""
    low, high = row[f"{name}_lo"], row[f"{name}_hi"]
    interval = "" if pd.isna(low) else f"<small>[{number(low)}, {number(high)}]</small>"
    return number(row[name]) + interval
