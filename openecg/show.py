"""Print an artefact for a person: what it is, what it holds, and strips as timed text."""

import csv
import difflib
import html
import json
import os
import re
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError, safe_open

from openecg.archive import DAMAGED
from openecg.errors import ConfigError, DataError
from openecg.files import read_parquet, read_tsv
from openecg.made import NOTE, note_of, split_options
from openecg.parquet_text import kind_of, record_lines, table_lines
from openecg.table_text import GAP, aligned, cut, cut_left, metric_table, wrapped
from openecg.tabulate import BUDGET, SYSTEM, systems_made

PIPE_WIDTH = 80
LEAST_WIDTH = 40
MOST_ROWS = 40  # of a metric table, or of a list: about a screen
MOST_LINES = 200  # of a text
MOST_VALUES = 5  # of an option
LONGEST_VALUE = 60  # characters; of a longer object the keys are told
PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
ASCII = str.maketrans({"…": "~", "·": ".", "µ": "u"})


def show(
    *,
    path: Path,
    record: str | None = None,
    lead: str | None = None,
    where: list[str] | None = None,
    rows: int | None = None,
    width: int | None = None,
) -> None:
    """Print an artefact of the pipeline for a person.

    Parameters
    ----------
    path : Path
        Parquet (index, records, shard, tokens, predictions or any other), TSV table, safetensors,
        YAML, zip, SVG or HTML file, log or any other text. Its content tells which.
    record : str or None
        Print the strips of this record as timed text instead.
    lead : str or None
        Of this lead only.
    where : list of str or None
        Of a TSV table only the rows in which these hold: ``column=value``, as the table has it.
    rows : int or None
        How many rows of a table, members of a zip, tensors or lines of text to print at most;
        ``None`` is 40, or 200 lines of text. Of a text the last ones are printed.
    width : int or None
        Most characters of a line; ``None`` is the width of the terminal, or 80 without one.

    Raises
    ------
    ConfigError
        If ``width`` is below 40, ``rows`` below 1, ``lead`` is given without ``record``, or
        ``where`` for no table or a column that it lacks.
    DataError
        If the file is of none of these kinds or damaged, or holds no such record, lead or row.
    """
    if width is None:
        terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
        width = max(terminal, LEAST_WIDTH)
    if width < LEAST_WIDTH:
        raise ConfigError(f"width must be {LEAST_WIDTH} or more, got {width}")
    if rows is not None and rows < 1:
        raise ConfigError(f"rows must be 1 or more, got {rows}")
    if lead is not None and record is None:
        raise ConfigError(f"lead {lead!r} of which record? Give the record as well")
    colour = wants_colour(os.environ, terminal=sys.stdout.isatty())
    lines = describe(
        path, record=record, lead=lead, where=where, rows=rows, width=width, colour=colour
    )
    _write(lines)


def wants_colour(environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Decide by the conventions of no-color.org and force-color.org; ``NO_COLOR`` wins."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (
        terminal and environment.get("TERM", "dumb") != "dumb"
    )


def describe(
    path: Path,
    *,
    record: str | None = None,
    lead: str | None = None,
    where: list[str] | None = None,
    rows: int | None = None,
    width: int,
    colour: bool,
) -> list[str]:
    """Give the lines that `show` prints; parameters and errors as there."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    most = rows or MOST_ROWS
    is_table = False
    if start[:4] == PARQUET_MAGIC or path.suffix == ".parquet":
        table = read_parquet(path)
        kind = kind_of(table)
        title = kind.what
        if record is None:
            body = table_lines(path, table, kind, width=width)
        else:
            body = record_lines(
                path, table, kind, record=record, lead=lead, width=width, colour=colour
            )
    elif record is not None:
        raise DataError(f"{path}: holds no strips; shards, records, tokens and predictions do")
    elif start[:4] == ZIP_MAGIC or path.suffix == ".zip":
        title, body = _zip(path, most, width)
    elif path.suffix == ".safetensors" or (
        len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < size
    ):
        title, body = "Weights, and what is noted with them", _safetensors(path, most, width)
    else:
        text = _text_of(path)
        is_table = path.suffix != ".log" and "\t" in text.partition("\n")[0]
        if is_table:
            title, body = _table(path, where or [], most, width)
        else:
            title, body = _text(path, text, rows or MOST_LINES, width)
    if where and not is_table:
        raise ConfigError(f"{path}: where chooses rows of TSV tables, which this is not")
    made = [] if record is not None else made_lines(note_of(path), width)
    return [cut_left(str(path), width), *wrapped(title, width), "", *body, *made]


def made_lines(note: Mapping[str, Any], width: int) -> list[str]:
    """Say what made a file, as `openecg.made.note_of` gives it; nothing where nothing is noted."""
    if not note:
        return []
    data = note["data"].items()
    options, behind = split_options(note)
    told = {
        "step": note["step"],
        "commit": f"{note['commit']}, code {note['code']}",
        "data": ", ".join(f"{name} (sha256 {sha256[:12]})" for name, sha256 in data) or "none",
        "versions": ", ".join(f"{name} {number}" for name, number in note["versions"].items()),
        "options": json.dumps(options),
    }
    lines = ["", "made by"]
    for name, text in told.items():
        lines += wrapped(f"{GAP}{name}: {text}", width, 2 * GAP)
    if behind:
        lines += ["", "made from what these steps made, with their options"]
    for step, values in behind.items():
        text = ", ".join(f"{name} {_values(some)}" for name, some in values.items())
        lines += wrapped(f"{GAP}{step}: {text or 'no options'}", width, 2 * GAP)
    return lines


def _values(some: list[Any]) -> str:
    """List the first few values of an option, and of large objects how many and the keys."""
    texts = [json.dumps(value) for value in some]
    counts = Counter(
        f"{{{', '.join(value)}}}" if isinstance(value, dict) and len(text) > LONGEST_VALUE else text
        for value, text in zip(some, texts, strict=True)
    )
    told = [f"{n} of {text}" if n > 1 else text for text, n in counts.items()]
    more = len(told) - MOST_VALUES
    return " | ".join([*told[:MOST_VALUES], *([f"and {more} more"] if more > 0 else [])])


def _safetensors(path: Path, most: int, width: int) -> list[str]:
    """Describe a safetensors file by its header; the weights are not read."""
    try:
        with safe_open(path, framework="np") as opened:
            noted = opened.metadata() or {}
            tensors = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            shapes = {name: tensor.get_shape() for name, tensor in tensors.items()}
            types = {name: str(tensor.get_dtype()) for name, tensor in tensors.items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error
    sizes = {name: int(np.prod(shape, dtype=int)) for name, shape in shapes.items()}
    lines = [f"{sum(sizes.values()):,} numbers in {len(sizes)} tensors", ""]
    for name, text in sorted(noted.items()):
        try:
            content = json.loads(text)
        except ValueError:
            content = text
        if isinstance(content, dict):
            content.pop(NOTE, None)
            inside = [GAP + line for line in _yaml_lines(content, width - len(GAP))]
            lines += [cut(f"{name}:", width), *inside, ""]
        else:
            lines += [*wrapped(f"{name}: {content}", width, GAP), ""]
    cells = [["tensor", "type", "shape"]]
    for name in list(sizes)[:most]:
        shape = " x ".join(map(str, shapes[name])) or "one number"
        cells.append([name, types[name], shape])
    lines += aligned(cells, right=[False] * 3, width=width)
    return lines + _left_out(len(sizes) - most, "last", len(sizes), "tensors")


def _zip(path: Path, most: int, width: int) -> tuple[str, list[str]]:
    """List the members of a zip with their sizes."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except DAMAGED as error:
        raise DataError(f"{path}: not a readable zip: {error}") from error
    total = sum(info.file_size for info in members)
    title = f"Zip: {len(members)} files, {_size(total)} unpacked"
    sizes = [_size(info.file_size) for info in members[:most]]
    wide = max(map(len, sizes), default=0)
    lines = [
        f"{size:>{wide}}{GAP}{cut_left(info.filename, width - wide - len(GAP))}"
        for size, info in zip(sizes, members, strict=False)
    ]
    return title, lines + _left_out(len(members) - most, "last", len(members), "files")


def _left_out(n: int, which: str, total: int, what: str) -> list[str]:
    return ["", f"left out: the {which} {n} of {total} {what}"] if n > 0 else []


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.1f} kB"


def _text_of(path: Path) -> str:
    """Read a text, or say that there is nothing to show."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(
            f"{path}: nothing to show; show reads text, Parquet, safetensors and zip, this is other"
        )
    return text


def _table(path: Path, where: list[str], most: int, width: int) -> tuple[str, list[str]]:
    """Describe a TSV table."""
    try:
        frame = read_tsv(path)
        fault = _short_row(path)
    except (ValueError, pd.errors.ParserError, csv.Error) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable TSV table: {why}") from error
    if fault:
        raise DataError(f"{path}: not a readable TSV table: {fault}")
    title = f"Table: {len(frame)} rows of {frame.shape[1]} columns"
    for condition in where:
        frame = _rows_where(path, frame, condition)
    if where:
        title += f"; {len(frame)} with {' and '.join(where)}"
    if not {SYSTEM, *BUDGET} <= set(frame):
        return title, metric_table(frame, width=width, most_rows=most)
    made = frame[[SYSTEM, *BUDGET]].map(_plain)
    lines = [
        line
        for names, how in systems_made(made)
        for line in wrapped(f"{', '.join(names)}: {how}", width, GAP)
    ]
    table = metric_table(frame.drop(columns=BUDGET), width=width, most_rows=most)
    return title, [*lines, *([""] if lines else []), *table]


def _short_row(path: Path) -> str:
    """Say which row ends before the header does, which pandas fills up; empty if none does."""
    limit = csv.field_size_limit(path.stat().st_size)  # of the whole process: put back below
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, dialect="excel-tab")
            wanted = len(next(rows))
            for row in rows:
                is_blank = len(row) < 2 and not "".join(row).strip()
                if len(row) < wanted and not is_blank:
                    return f"line {rows.line_num} has {len(row)} fields, the header has {wanted}"
    finally:
        csv.field_size_limit(limit)
    return ""


def _rows_where(path: Path, frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Keep the rows in which ``column=value`` holds."""
    column, equals, value = condition.partition("=")
    if not equals or column not in frame:
        near = difflib.get_close_matches(column, list(map(str, frame)), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(map(str, frame))}"
        raise ConfigError(f"{path}: where {condition!r}: no column=value of this table; {hint}")
    values = frame[column]
    if _is_float(value) and pd.api.types.is_numeric_dtype(values):
        kept = frame[values == float(value)]
    else:
        kept = frame[values.fillna("").astype(str) == value]
    if kept.empty:
        there = list(dict.fromkeys(values.astype(str)))
        near = difflib.get_close_matches(value, there, n=5, cutoff=0) if len(there) > 5 else there
        raise DataError(f"{path}: no row where {condition}; there are {', '.join(near)}")
    return kept


def _plain(value: Any) -> str:
    """Write a cell; whole numbers, which gaps make floats, without decimals."""
    if pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(path: Path, text: str, most: int, width: int) -> tuple[str, list[str]]:
    """Describe YAML, a page or a figure, or print the text itself."""
    page = re.match(r"\s*(<\?xml.*?\?>\s*)?(<!DOCTYPE[^>]*>\s*)?<(html|svg)\b", text, re.I | re.S)
    if page:
        kind = {"html": "HTML page", "svg": "SVG figure"}[page[3].lower()]
        found = re.search(r"<title\b[^>]*>(.*?)</title>", text, re.I | re.S)
        named = " ".join(html.unescape(found[1]).split()) if found else "without a title"
        body = [f"{_size(len(text.encode()))}, to be seen in a browser", ""]
        return kind, body + wrapped(f"title: {named}" if found else named, width, GAP)
    if path.suffix != ".log":
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError:
            content = None
        if isinstance(content, dict):
            setting = {"train_on", "model", "training"} <= content.keys()
            return "Setting of a model" if setting else "YAML file", _yaml_lines(content, width)
    lines = text.splitlines()
    if not lines:
        return "Empty file", []
    body = [part for line in lines[-most:] for part in wrapped(line, width, GAP) or [""]]
    left_out = _left_out(len(lines) - most, "first", len(lines), "lines")
    return f"Text: {len(lines)} lines", [*left_out[1:], *left_out[:1], *body]


def _yaml_lines(content: Mapping[str, Any], width: int) -> list[str]:
    """Write nested values, indented."""
    text = yaml.safe_dump(dict(content), sort_keys=False, width=width, allow_unicode=True)
    return [cut(line, width) for line in text.splitlines()]


def _write(lines: Iterable[str]) -> None:
    """Print to stdout, in the characters it has; a reader who stops early is no error."""
    text = "".join(f"{line}\n" for line in lines)
    encoding = sys.stdout.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode(encoding)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes again at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
