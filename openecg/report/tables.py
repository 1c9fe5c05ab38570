"""The section of printed tables: each with what its numbers rest on."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from openecg.report.parts import NONE, html_table
from openecg.table_list import TABLES, Table
from openecg.tabulate import (
    BUDGET,
    KNOWN,
    NO_SEED,
    RESTS_ON,
    SOURCE_GAP,
    SOURCES,
    SYSTEM,
    blocks_of,
    read_table,
    systems_made,
)

PLACES = {"dataset": "{}", "split": "{} split", "protocol": "protocol {}"}  # the head of a block


def printed_tables(paths: Sequence[Path]) -> str:
    """Lay out the tables of ``write-table`` as HTML.

    Parameters
    ----------
    paths : sequence of Path
        Files named after the entries of `openecg.table_list.TABLES`.

    Returns
    -------
    str
        A heading, what it shows, how the systems were made, and a table for each block; tables
        without rows are only named.
    """
    html, empty = "", []
    for path in paths:
        table, printed = TABLES[path.stem], read_table(path)
        if printed.empty:
            empty.append(table.title)
            continue
        html += f"<h3>{escape(table.title)}</h3>\n<p>{escape(table.about)}</p>\n"
        html += how_made(printed.rename(columns={SYSTEM: "system"}))
        blocks = blocks_of(table)
        for place, rows in printed.groupby(blocks, sort=False):
            values = dict(zip(blocks, map(str, place), strict=True))
            head = [text.format(values.pop(key)) for key, text in PLACES.items() if key in values]
            html += f"<h4>{escape(', '.join(head))}</h4>\n"
            html += _block(table, values, rows.drop(columns=blocks))
    if empty:
        html += f"<p>Without numbers in this run: {escape('; '.join(empty))}.</p>\n"
    return html


def how_made(rows: pd.DataFrame) -> str:
    """List systems by what they learnt from and how, and then how they decode.

    Parameters
    ----------
    rows : DataFrame of str
        ``system`` and `openecg.tabulate.BUDGET`, empty where nothing is known or learnt.
    """
    items = "".join(
        f"<li>{escape(', '.join(names))}: {escape(how)}</li>" for names, how in systems_made(rows)
    )
    return f'<ul class="about">{items}</ul>\n' if items else ""


def _block(table: Table, values: dict[str, str], rows: pd.DataFrame) -> str:
    """Lay out one block under a caption of what is the same in all its rows."""
    ours = rows[rows["records"] != ""]
    seeded = ours[ours["seeds"] != NO_SEED]
    same = {}
    for name in RESTS_ON:
        values_there = (seeded if name == "seeds" and len(seeded) else ours)[name].unique()
        if len(values_there) == 1:
            same[name] = values_there[0]
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value]
    parts += [f"{name}: {value}" for name, value in same.items()]
    filled = [str(name) for name in rows if (rows[name] != "").any()]
    heads = {*table.rows, *BUDGET, *RESTS_ON, SOURCES}
    columns = list(dict.fromkeys(n.removesuffix(KNOWN) for n in filled if n not in heads))
    first, *more = table.rows
    head = f"<th>{SYSTEM}</th>"
    head += "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    notes: list[str] = []
    body, above = "", None
    for _, row in rows.iterrows():
        if first != SYSTEM and row[first] != above:
            above = row[first]
            title = escape(above.replace("_", " "))
            body += f'<tr><th class="of" colspan="{len(columns) + 1}">{title}</th></tr>\n'
        said = [row[name].replace("_", " ") for name in more if name != SYSTEM]
        said += [
            f"{name}: {row[name]}"
            for name in RESTS_ON
            if name not in same and row[name] not in ("", NO_SEED)
        ]
        body += f"<tr><td>{escape(row[SYSTEM])}{_marks(row, notes)}"
        body += f"<small>{escape('; '.join(said))}</small></td>"
        body += "".join(f"<td>{_cell(row, name)}</td>" for name in columns) + "</tr>\n"
    return html_table("; ".join(parts) + ".", f"<tr>{head}</tr>", body, notes)


def _marks(row: "pd.Series[str]", notes: list[str]) -> str:
    """Refer to the sources of the known numbers of a row, and note the new ones."""
    sources = [source for source in row.get(SOURCES, "").split(SOURCE_GAP) if source]
    notes += [source for source in sources if source not in notes]
    numbers = ", ".join(str(notes.index(source) + 1) for source in sources)
    return f"<sup>{numbers}</sup>" if numbers else ""


def _cell(row: "pd.Series[str]", name: str) -> str:
    """Write a number with its interval and range below it, and a known one in its colour."""
    value, _, rest = row.get(name, "").partition(" ")
    known = row.get(name + KNOWN, "")
    html = value or (NONE if not known else "")
    html += "".join(f"<small>{part}</small>" for part in _parts(rest))
    return html + (f'<small class="published">{escape(known)}</small>' if known else "")


def _parts(rest: str) -> list[str]:
    """Part an interval from the range of the seeds behind it."""
    interval, bracket, extremes = rest.rpartition("] ") if "] " in rest else (rest, "", "")
    return [escape(part) for part in (interval + bracket.strip(), extremes) if part]
