"""Tables as aligned text of a given width."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

GAP = "  "
HARD_SPACE = "\u00a0"  # a space at which no line is broken
NONE = "-"  # where a table holds nothing
LO, HI = "_lo", "_hi"
KNOWN, SOURCE, TAG = "known", "source", "tag"  # a published number is never without the others
NUMBERED_KEYS = ("fs_hz", "fold", "window", "epoch")  # numbers that tell rows apart
PRINTED = r"[-+]?\d+\.\d+\b.*"  # a figure that is text already, such as 0.91 [0.90, 0.92]
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
    """Print a table of numbers with their keys, all columns of it.

    What is the same in all rows is said once, above. Bounds in ``x_lo`` and ``x_hi`` stand behind
    ``x``, and the ``tag`` of a known number and a reference to its ``source`` behind ``known``. The
    keys are the text columns before the first number, as far as they are needed to tell rows apart.
    Columns that do not fit beside them follow in further blocks under the same keys, numbers before
    text. Keys become headings where that makes fewer lines, and what is the same below each heading
    joins it.

    Parameters
    ----------
    frame : DataFrame
        The table; identifiers are text. Where it has a column ``metric``, numbers have as many
        decimals as those of their metric need.
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
    numeric = [name for name in map(str, frame) if _is_figure(frame[name])]
    text, sources = _texts(frame)
    same = _same_columns(frame, list(map(str, text)))
    lines = _said_once(text, same, width)
    text = text.drop(columns=same)
    shown = text.head(most_rows)
    if len(frame) == 1:
        return [*lines, *_one_row(text, width), *_source_lines(sources, width)]
    headings, blocks = _layout(shown, text, numeric, width)
    for i, block in enumerate(blocks):
        lines += [""] if i else []
        lines += _block(shown, headings, block, numeric, width)
    notes = []
    if len(text) > len(shown):
        notes += wrapped(f"left out: the last {len(text) - len(shown)} of {len(text)} rows", width)
    # Sources are numbered in the order of the rows.
    n_sources = frame[SOURCE].head(most_rows).nunique() if sources else 0
    notes += _source_lines(sources[:n_sources], width)
    return [*lines, *([""] if notes else []), *notes]


def _is_number(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _is_figure(values: "pd.Series[Any]") -> bool:
    filled = values.dropna()
    if _is_number(values):
        return bool(filled.size)
    return bool(filled.size and filled.astype(str).str.fullmatch(PRINTED).all())


def _same_columns(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Choose the columns that are the same in all rows, with their bounds and sources."""
    if len(frame) < 2:
        return []
    joined = {name: [n for n in (name, name + LO, name + HI) if n in frame] for name in names}
    if KNOWN in joined:
        joined[KNOWN] += [name for name in (TAG, SOURCE) if name in frame]
    return [
        name
        for name, parts in joined.items()
        if all(frame[part].nunique(dropna=False) == 1 for part in parts)
    ]


def _said_once(text: pd.DataFrame, same: Sequence[str], width: int) -> list[str]:
    """Say what is the same in all rows, and a blank line after it."""
    empty = [name for name in same if text[name].iloc[0] == NONE]
    said = [f"{name} {text[name].iloc[0]}" for name in same if name not in empty]
    lines: list[str] = []
    for what, items in (("in every row: ", said), ("empty: ", empty)):
        lines += _enumerated(what, items, width) if items else []
    return [*lines, ""] if lines else []


def _one_row(text: pd.DataFrame, width: int) -> list[str]:
    """Print the cells of a row below each other."""
    wide = max(map(len, map(str, text)))
    lines = []
    for name, value in text.iloc[0].items():
        lines += wrapped(f"{name!s:<{wide}}{GAP}{value}", width, " " * (wide + len(GAP)))
    return lines


def _source_lines(sources: Sequence[str], width: int) -> list[str]:
    return [
        line
        for number, source in enumerate(sources, 1)
        for line in wrapped(f"({number}) {source}", width, GAP)
    ]


def _keys(text: pd.DataFrame, numeric: Sequence[str]) -> tuple[list[str], list[str]]:
    """Choose the columns before the first number, and those of them that tell rows apart."""
    measured = [name for name in numeric if name not in NUMBERED_KEYS]
    names = list(map(str, text))
    first = next((i for i, name in enumerate(names) if name in measured), len(names))
    fewest = names[:first]
    for name in names[:first][::-1]:
        fewer = [key for key in fewest if key != name]
        short = text[name].str.len().max() <= LONGEST_CELL
        if short and fewer and not text.duplicated(fewer).any():
            fewest = fewer
    return names[:first], fewest


def _layout(
    shown: pd.DataFrame, text: pd.DataFrame, numeric: Sequence[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """Choose which keys become headings, and the columns of each block.

    Long keys always become headings; of the others as many, from the first on, as make the fewest
    lines that fit the width. Keys that follow from others stand in the last blocks, with the text,
    where that makes fewer lines.
    """
    all_keys, fewest = _keys(text, numeric)
    best: tuple[tuple[bool, int], list[str], list[list[str]]] | None = None
    for keys in (all_keys, fewest):
        rest = sorted((n for n in map(str, text) if n not in keys), key=lambda n: n not in numeric)
        long = [name for name in keys if _longest(shown, name) > LONGEST_CELL]
        short = [name for name in keys if name not in long]
        for n in range(len(short) + 1):
            headings = [*long, *short[:n]]
            joining, n_titles = _joining(shown, headings, rest, numeric)
            columns = [name for name in rest if name not in joining]
            blocks = _cut_to_blocks(shown, short[n:], columns, width)
            n_lines = len(blocks) * (2 + len(shown) + 2 * n_titles)
            cost = (any(_wide(shown, block) > width for block in blocks), n_lines)
            if best is None or cost < best[0]:
                best = (cost, [*headings, *joining], blocks)
    assert best is not None
    return best[1], best[2]


def _joining(
    text: pd.DataFrame, headings: list[str], rest: Sequence[str], numeric: Sequence[str]
) -> tuple[list[str], int]:
    """Choose what is the same below each heading and may join it; also count the headings."""
    if not headings or text.empty:
        return [], 0
    groups = text.groupby(headings, sort=False)
    if groups.size().max() == 1:
        return [], groups.ngroups
    results = {KNOWN, *(name for name in numeric if not name.startswith("n_"))}
    may = [name for name in rest if name not in results]
    return [name for name in may if (groups[name].nunique() == 1).all()], groups.ngroups


def _cut_to_blocks(
    text: pd.DataFrame, keys: list[str], rest: list[str], width: int
) -> list[list[str]]:
    """Divide columns among blocks that fit the width, each with the keys; at least one in each."""
    blocks: list[list[str]] = []
    for name in rest:
        if not blocks or _wide(text, [*blocks[-1], name]) > width:
            blocks.append([*keys])
        blocks[-1].append(name)
    return blocks or [keys]


def _longest(text: pd.DataFrame, name: str) -> int:
    return int(text[name].str.len().max()) if len(text) else 0


def _wide(text: pd.DataFrame, names: Sequence[str]) -> int:
    """Count the characters of a line with these columns."""
    cells = [max(len(name), min(_longest(text, name), LONGEST_CELL)) for name in names]
    return sum(cells) + len(GAP) * (len(cells) - 1)


def _block(
    text: pd.DataFrame, headings: list[str], columns: list[str], numeric: list[str], width: int
) -> list[str]:
    """Print some columns, below headings."""
    cells = text[columns].map(lambda cell: cut(cell, LONGEST_CELL))
    to_right = [name in numeric for name in columns]
    body = aligned([columns, *cells.to_numpy().tolist()], right=to_right, width=width)
    titles = text[headings].to_numpy().tolist()
    lines = [body[0]]
    for i, line in enumerate(body[1:]):
        if headings and (i == 0 or titles[i] != titles[i - 1]):
            said = [f"{name} {value}" for name, value in zip(headings, titles[i], strict=True)]
            lines += ["", *_enumerated("", said, width)]
        lines.append(line)
    return lines


def _enumerated(what: str, items: Sequence[str], width: int) -> list[str]:
    """Write items as a list whose lines break between two, not inside one."""
    fixed = [
        item.replace(" ", "\u00a0") if len(item) < width - len(GAP) else item for item in items
    ]
    return [line.replace(HARD_SPACE, " ") for line in wrapped(what + ", ".join(fixed), width, GAP)]


def _texts(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Write all cells as text, bounds beside what they bound; also the sources referred to."""
    bounded = [name for name in map(str, frame) if {name + LO, name + HI} <= set(frame)]
    bounds = {name + end for name in bounded for end in (LO, HI)}
    columns: dict[str, list[str]] = {}
    sources: list[str] = []
    for name in map(str, frame):
        if name in bounds:
            continue
        if not _is_number(frame[name]):
            columns[name] = [NONE if pd.isna(v) else str(v) for v in frame[name]]
            continue
        together = [name, name + LO, name + HI] if name in bounded else [name]
        by = frame["metric"] if "metric" in frame else pd.Series("", index=frame.index)
        cells = pd.Series(NONE, index=frame.index, dtype=str)
        for _, rows in frame.groupby(by.to_numpy(), sort=False, dropna=False):
            form = _format(rows[together])
            for at, row in zip(rows.index, rows[together].itertuples(index=False), strict=True):
                value, *ends = (NONE if pd.isna(v) else form.format(v) for v in row)
                cells[at] = f"{value} [{', '.join(ends)}]" if ends and NONE not in ends else value
        columns[name] = list(cells)
    if KNOWN in columns and {SOURCE, TAG} <= set(columns):
        sources = [one for one in dict.fromkeys(columns.pop(SOURCE)) if one != NONE]
        told = zip(columns[KNOWN], columns.pop(TAG), frame[SOURCE], strict=True)
        columns[KNOWN] = [
            known if known == NONE else f"{known} {tag} ({sources.index(str(source)) + 1})"
            for known, tag, source in told
        ]
    return pd.DataFrame(columns, index=frame.index, dtype=str), sources


def _format(values: pd.DataFrame) -> str:
    """Choose equally many decimals for some numbers, as few as tell them apart."""
    known = np.abs(values.to_numpy(dtype=np.float64, na_value=np.nan))
    known = known[np.isfinite(known) & (known > 0)]
    if known.size == 0 or (known == np.rint(known)).all():
        return "{:.0f}"
    if known.max() < 0.01:
        return "{:.3g}"
    return f"{{:.{max(0, 3 - int(np.floor(np.log10(max(known.max(), 1)))))}f}}"
