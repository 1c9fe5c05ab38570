"""Tables as aligned text of a given width."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

GAP = "  "
HARD_SPACE = "\u00a0"  # a space at which no line is broken
NONE = "-"  # where a table holds nothing
LO, HI = "_lo", "_hi"
LONGEST_CELL = 28  # characters of text; longer keys become headings, other text is cut


def aligned(rows: Sequence[Sequence[str]], *, right: Sequence[bool], width: int) -> list[str]:
    """Set cells in columns.

    Parameters
    ----------
    rows : sequence of sequence of str
        Cells, equally many in each row.
    right : sequence of bool
        Which columns end in one line rather than begin in one.
    width : int
        Characters of a line; the cells of the last columns are cut to it.

    Returns
    -------
    list of str
        One line per row.
    """
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if to_right else cell.ljust(w)
            for cell, w, to_right in zip(row, wide, right, strict=True)
        ]
        lines.append(cut(GAP.join(cells).rstrip(), width))
    return lines


def cut(text: str, width: int) -> str:
    """Shorten ``text`` to ``width`` characters; an ellipsis says so."""
    return text if len(text) <= width else text[: width - 1] + "…"


def cut_left(text: str, width: int) -> str:
    """Shorten a path to ``width`` characters; its end is what tells files apart."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Break ``text`` into lines; those after the first begin with ``indent``."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def metric_table(frame: pd.DataFrame, *, width: int, most_rows: int) -> list[str]:
    """Print a table of numbers with their keys.

    What is the same in all rows is said once, above. Bounds in ``x_lo`` and ``x_hi`` stand behind
    ``x``. The keys are the text columns before the first number; where the lines would be too long,
    the first of them become headings, and what is the same below each heading joins it. Columns
    that still do not fit are left out from the right, and named.

    Parameters
    ----------
    frame : DataFrame
        The table; identifiers are text.
    width : int
        Most characters of a line.
    most_rows : int
        How many rows to print; the rest is counted.

    Returns
    -------
    list of str
        Lines of at most ``width`` characters.
    """
    frame = frame.rename(columns=str)
    lines: list[str] = []
    same = [
        name
        for name in map(str, frame)
        if len(frame) > 1 and frame[name].nunique(dropna=False) == 1
    ]
    numeric = [name for name in map(str, frame) if pd.api.types.is_numeric_dtype(frame[name])]
    numeric = [name for name in numeric if frame[name].notna().any()]
    text = _texts(frame)
    same = [name for name in same if name in text]
    empty = [name for name in same if text[name].iloc[0] == NONE]
    said = [f"{name} {text[name].iloc[0]}" for name in same if name not in empty]
    for what, items in (("in every row: ", said), ("empty: ", empty)):
        if items:
            lines += _enumerated(what, items, width)
    lines += [""] if lines else []
    text = text.drop(columns=same)
    first_number = next((i for i, name in enumerate(text) if name in numeric), text.shape[1])
    headings, dropped = _fit(text, list(text.columns[:first_number]), width)
    shown = text.drop(columns=[*headings, *dropped]).head(most_rows)
    shown = shown.map(lambda cell: cut(cell, LONGEST_CELL))
    to_right = [name in numeric for name in shown]
    body = aligned([[*map(str, shown)], *shown.to_numpy().tolist()], right=to_right, width=width)
    titles = text[headings].head(most_rows).to_numpy().tolist()
    lines.append(body[0])
    for i, line in enumerate(body[1:]):
        if headings and (i == 0 or titles[i] != titles[i - 1]):
            said = [f"{name} {value}" for name, value in zip(headings, titles[i], strict=True)]
            lines += ["", *_enumerated("", said, width)]
        lines.append(line)
    notes = []
    if len(text) > len(shown):
        notes += wrapped(f"left out: the last {len(text) - len(shown)} of {len(text)} rows", width)
    if dropped:
        notes += _enumerated(f"left out to fit {width} characters: ", dropped, width)
    return [*lines, *([""] if notes else []), *notes]


def _enumerated(what: str, items: Sequence[str], width: int) -> list[str]:
    """Write items as a list whose lines break between two, not inside one."""
    fixed = [
        item.replace(" ", "\u00a0") if len(item) < width - len(GAP) else item for item in items
    ]
    return [line.replace(HARD_SPACE, " ") for line in wrapped(what + ", ".join(fixed), width, GAP)]


def _fit(text: pd.DataFrame, keys: list[str], width: int) -> tuple[list[str], list[str]]:
    """Choose the columns that become headings and those that are left out."""

    def too_wide() -> bool:
        kept = [name for name in map(str, text) if name not in headings and name not in dropped]
        cells = [max(len(str(name)), int(text[name].str.len().max() or 0)) for name in kept]
        return sum(cells) + len(GAP) * (len(cells) - 1) > width

    headings: list[str] = []
    dropped: list[str] = []
    if text.empty:
        return headings, dropped
    long = [name for name in keys if text[name].str.len().max() > LONGEST_CELL]
    short = [name for name in keys if name not in long]
    candidates = [*long, *short[:-1]]
    while candidates and (too_wide() or candidates[0] in long):
        headings.append(candidates.pop(0))
    if headings:
        groups = text.groupby(headings, sort=False)
        if groups.size().max() > 1:
            rest = [name for name in map(str, text) if name not in keys]
            headings += [name for name in rest if (groups[name].nunique() == 1).all()]
    rest = [name for name in map(str, text) if name not in keys and name not in headings]
    while too_wide() and rest:
        dropped.insert(0, rest.pop())
    return headings, dropped


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Write all cells as text, with bounds beside the value they bound."""
    columns = {}
    for name in map(str, frame):
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[name] = _numbers(values)
        else:
            columns[name] = [NONE if pd.isna(v) else str(v) for v in values]
    for name in list(columns):
        if name + LO in columns and name + HI in columns:
            bounds = zip(columns[name], columns.pop(name + LO), columns.pop(name + HI), strict=True)
            columns[name] = [
                value if NONE in (lo, hi) else f"{value} [{lo}, {hi}]" for value, lo, hi in bounds
            ]
    return pd.DataFrame(columns, index=frame.index, dtype=str)


def _numbers(values: "pd.Series[float]") -> list[str]:
    """Write numbers of one column with equally many decimals, as few as tell them apart."""
    known = np.abs(values.to_numpy(dtype=np.float64, na_value=np.nan))
    known = known[np.isfinite(known) & (known > 0)]
    if known.size == 0 or (known == np.rint(known)).all():
        form = "{:.0f}"
    elif known.min() < 0.001 and known.max() < 10:
        form = "{:.3g}"
    else:
        form = f"{{:.{max(0, 3 - int(np.floor(np.log10(max(known.max(), 1)))))}f}}"
    return [NONE if pd.isna(value) else form.format(value) for value in values]
