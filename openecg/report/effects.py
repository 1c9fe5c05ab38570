"""The section of paired comparisons: what each change does."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from openecg.files import read_tsv
from openecg.report.parts import count, html_table, number
from openecg.report.tables import how_made


def effect_tables(paths: Sequence[Path], runs: pd.DataFrame) -> str:
    """Lay out a table of ``compare-systems``, a block for each data set and split.

    Parameters
    ----------
    paths : sequence of Path
        The table, or none.
    runs : DataFrame of str
        What each system is, as `openecg.report.tables.how_made` takes it.
    """
    html = ""
    for path in paths:
        table = read_tsv(path).fillna({"changes": ""})
        html += how_made(runs[runs["system"].isin({*table["system"], *table["reference"]})])
        for (dataset, split), rows in table.groupby(["dataset", "split"], sort=False):
            html += f"<h3>{escape(str(dataset))}, {escape(str(split))} split</h3>\n" + _block(rows)
    return html


def _block(rows: pd.DataFrame) -> str:
    """Lay out the systems of one place below each other."""
    targets = rows[["target", "metric"]].drop_duplicates().itertuples(index=False, name=None)
    names = {place: " ".join(place).replace("_", " ") for place in targets}
    head = "<tr><th>System</th>" + "".join(f"<th>{name}</th>" for name in names.values()) + "</tr>"
    body = ""
    for (system, reference), own in rows.groupby(["system", "reference"], sort=False):
        by_target = {(row["target"], row["metric"]): row for _, row in own.iterrows()}
        what = f"against {reference}: {own['changes'].iloc[0]}"
        label = f"{escape(str(system))}<small>{escape(what)}</small>"
        cells = "".join(f"<td>{_cell(by_target[place])}</td>" for place in names)
        body += f"<tr><td>{label}</td>{cells}</tr>\n"
    caption = (
        f"Protocol {rows['protocol'].iloc[0]}, tolerance {rows['tolerance'].iloc[0]}, all leads, "
        f"{count(rows['n_records'], 'record')}, mean of {count(rows['n_seeds'], 'seed')}: what the "
        "system is above its reference, in brackets the 95 % interval from "
        f"{count(rows['bootstrap'], 'bootstrap resample')} of the same records for both (in bold "
        "where it leaves out 0), and below it the value of the system."
    )
    return html_table(caption, head, body)


def _cell(row: "pd.Series[float]") -> str:
    """Write an effect, its interval, and the value itself."""
    low, high = row["effect_lo"], row["effect_hi"]
    effect = f"{row['effect']:+.3f}"
    effect = f"<b>{effect}</b>" if low > 0 or high < 0 else effect
    interval = "" if pd.isna(low) else f"<small>[{low:+.3f}, {high:+.3f}]</small>"
    return f"{effect}{interval}<small>{number(row['value'])}</small>"
