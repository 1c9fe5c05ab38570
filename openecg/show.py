"""Print an artefact for a person: what it is, what it holds, and strips as timed text."""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError, safe_open

from openecg.errors import ConfigError, DataError
from openecg.files import read_parquet, read_tsv
from openecg.parquet_text import kind_of, record_lines, table_lines
from openecg.table_text import cut, cut_left, metric_table, wrapped

PIPE_WIDTH = 80
LEAST_WIDTH = 40
MOST_ROWS = 40  # of a metric table: about a screen
PARQUET_MAGIC = b"PAR1"
METADATA = "openecg"  # the entry of a checkpoint that holds its setting
ASCII = str.maketrans({"…": "~", "·": ".", "µ": "u"})


def show(
    *, path: Path, record: str | None = None, lead: str | None = None, width: int | None = None
) -> None:
    """Print an artefact of the pipeline for a person.

    Parameters
    ----------
    path : Path
        Parquet (index, records, shard, tokens, predictions or any other), TSV table, checkpoint
        or YAML file. Its content tells which.
    record : str or None
        Print the strips of this record as timed text instead.
    lead : str or None
        Of this lead only.
    width : int or None
        Most characters of a line; ``None`` is the width of the terminal, or 80 without one.

    Raises
    ------
    ConfigError
        If ``width`` is below 40, or ``lead`` is given without ``record``.
    DataError
        If the file is of none of these kinds or damaged, or holds no such record or lead.
    """
    if width is None:
        terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
        width = max(terminal, LEAST_WIDTH)
    if width < LEAST_WIDTH:
        raise ConfigError(f"width must be {LEAST_WIDTH} or more, got {width}")
    if lead is not None and record is None:
        raise ConfigError(f"lead {lead!r} of which record? Give the record as well")
    colour = wants_colour(os.environ, terminal=sys.stdout.isatty())
    _write(describe(path, record=record, lead=lead, width=width, colour=colour))


def wants_colour(environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Decide by the conventions of no-color.org and force-color.org; ``NO_COLOR`` wins."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (
        terminal and environment.get("TERM", "dumb") != "dumb"
    )


def describe(
    path: Path, *, record: str | None, lead: str | None, width: int, colour: bool
) -> list[str]:
    """Give the lines that `show` prints; parameters and errors as there."""
    try:
        with path.open("rb") as file:
            start = file.read(9)
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if start[:4] == PARQUET_MAGIC:
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
    elif len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < size:
        title, body = "Checkpoint: weights of a model and its setting", _checkpoint(path, width)
    else:
        title, body = _text_file(path, width)
    return [cut_left(str(path), width), *wrapped(title, width), "", *body]


def _checkpoint(path: Path, width: int) -> list[str]:
    """Describe a safetensors file by its header; the weights are not read."""
    try:
        with safe_open(path, framework="np") as opened:
            content = json.loads((opened.metadata() or {}).get(METADATA, "{}"))
            names = list(opened.keys())
            sizes = {n: int(np.prod(opened.get_slice(n).get_shape(), dtype=int)) for n in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable safetensors file: {error}") from error
    blocks: Counter[str] = Counter()
    for name, size in sizes.items():
        blocks[name.split(".")[0]] += size
    said = ", ".join(f"{name} {count:,}" for name, count in blocks.items())
    lines = [f"{sum(sizes.values()):,} parameters in {len(sizes)} tensors", *wrapped(said, width)]
    return [*lines, "", *_yaml_lines(content, width)]


def _text_file(path: Path, width: int) -> tuple[str, list[str]]:
    """Describe a TSV table or a YAML file."""
    wrong = (
        f"{path}: nothing to show; show reads Parquet, TSV, YAML and safetensors of this project"
    )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{wrong}; this is no text") from error
    lines = text.splitlines()
    if lines and "\t" in lines[0]:
        try:
            frame = read_tsv(path)
        except (ValueError, pd.errors.ParserError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{path}: not a readable TSV table: {why}") from error
        title = f"Table: {len(frame)} rows of {frame.shape[1]} columns"
        return title, metric_table(frame, width=width, most_rows=MOST_ROWS)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(wrong) from error
    if not isinstance(content, dict):
        raise DataError(wrong)
    setting = {"train_on", "model", "training"} <= content.keys()
    return "Setting of a model" if setting else "YAML file", _yaml_lines(content, width)


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
