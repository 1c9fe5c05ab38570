"""What Parquet files hold, in words, and their strips as timed text."""

import difflib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from openecg import vocab
from openecg.codec import decode
from openecg.datasets import SIMULATED
from openecg.errors import DataError
from openecg.streams import decode_column
from openecg.strip_text import (
    CLASS_NAMES,
    MS_PER_CHAR,
    SYMBOL_NAMES,
    class_characters,
    event_characters,
    strip_lines,
    wave_characters,
)
from openecg.table_text import aligned, wrapped
from openecg.waves import (
    IGNORE,
    KINDS,
    NOT_MARKED,
    NOTHING_ANNOTATED,
    OTHER,
    Waves,
    annotated_span,
    frame_labels,
)

Facts = list[tuple[str, str]]

MOST_NAMES = 15  # longer lists are counted
STRIP_KEYS = ("dataset", "record_id", "lead", "split")
UNITS = {"_ms": "ms", "_hz": "Hz", "_s": "s", "_mv": "mV", "signal": "mV", "samples": "samples"}


class Kind(NamedTuple):
    """A kind of Parquet file.

    Attributes
    ----------
    what : str
        Its name, and what it holds.
    columns : frozenset of str
        Columns that no other kind has together.
    facts : function
        What its rows say, beyond the keys.
    characters : function or None
        Characters of a row for `strip_lines`, and what else to say of it; ``None``: no strips.
    """

    what: str
    columns: frozenset[str]
    facts: Callable[[pa.Table], Facts]
    characters: Callable[[dict[str, Any]], tuple[str, str]] | None


def kind_of(table: pa.Table) -> Kind:
    """Tell by its columns what a table is; `OTHER_KIND` if none of this project."""
    names = set(table.column_names)
    return next((kind for kind in KINDS_OF_TABLE if kind.columns <= names), OTHER_KIND)


def table_lines(path: Path, table: pa.Table, kind: Kind, *, width: int) -> list[str]:
    """Describe a table: what its rows say, then its columns.

    Parameters
    ----------
    path : Path
        Where it comes from, for errors.
    table : pa.Table
        The table.
    kind : Kind
        What `kind_of` says of it.
    width : int
        Most characters of a line.

    Returns
    -------
    list of str
        The lines.

    Raises
    ------
    DataError
        If a token stream in it cannot be decoded.
    """
    try:
        facts = [*_key_facts(table), *kind.facts(table)]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    wide = max(len(name) for name, _ in facts) + 2
    lines = []
    for name, text in facts:
        lines += wrapped(name.ljust(wide) + text, width, " " * wide)
    rows = [["column", "type", "unit", "first row"]]
    first = table.slice(0, 1)
    for field in table.schema:
        value = _cell(first[field.name][0]) if table.num_rows else ""
        rows.append([field.name, _type(field.type), _unit(field.name, kind), value])
    return [*lines, "", *aligned(rows, right=[False] * 4, width=width)]


def _key_facts(table: pa.Table) -> Facts:
    """Count what the keys of the rows name."""
    simple = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    keys = table.select(simple).to_pandas()
    facts: Facts = []
    if "dataset" in keys:
        names = list(dict.fromkeys(keys["dataset"].astype(str)))
        said = [f"{name} (simulated)" if name.startswith(SIMULATED) else name for name in names]
        facts.append(("data set", ", ".join(said)))
    for name in ("system", "seed", "stream", "method", "pacer", "grid"):
        if name in keys and (values := [v for v in keys[name].astype(str).unique() if v]):
            facts.append((name, ", ".join(values)))
    counts = [f"{len(keys)}"]
    if "record_id" in keys:
        counts.append(f"of {_counted(_n_records(keys), 'record')}")
    if {"record_id", "lead"} <= set(keys):
        leads = keys.groupby([n for n in ("dataset", "record_id", "lead") if n in keys]).ngroups
        counts.append(f"and {_counted(leads, 'lead')}")
    facts.append(("rows", " ".join(counts)))
    if "split" in keys:
        parts = [
            f"{split}: {_counted(_n_records(rows), 'record')}, {_counted(len(rows), 'row')}"
            for split, rows in keys.groupby("split", sort=False)
        ]
        facts.append(("split", "; ".join(parts)))
    if "lead" in keys:
        facts.append(("leads", _listed(keys["lead"])))
    if "record_id" in keys:
        facts.append(("record ids", _listed(keys["record_id"])))
    for name in ("fs_hz", "native_fs_hz"):
        if name in keys:
            rates = ", ".join(f"{rate:g}" for rate in sorted(keys[name].unique()))
            facts.append((name.removesuffix("_fs_hz").replace("fs_hz", "rate"), f"{rates} Hz"))
    if {"record_id", "rhythm", "paced"} <= set(keys):
        each = keys.drop_duplicates([n for n in ("dataset", "record_id") if n in keys])
        rhythms = Counter(str(cell).split("\n")[0] or "not told" for cell in each["rhythm"])
        said = [f"{name} {count}" for name, count in rhythms.most_common()]
        facts.append(("rhythms", f"{', '.join(said)}; {int(each['paced'].sum())} paced"))
    return facts


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _n_records(keys: pd.DataFrame) -> int:
    names = [name for name in ("dataset", "record_id") if name in keys]
    return len(keys[names].drop_duplicates())


def _listed(values: "pd.Series[Any]") -> str:
    """Name the values, or some of them and their number."""
    names = list(dict.fromkeys(values.astype(str)))
    if len(names) <= MOST_NAMES:
        return " ".join(names)
    return f"{' '.join(names[: MOST_NAMES - 1])} ... {names[-1]} ({len(names)})"


def _index_facts(table: pa.Table) -> Facts:
    parts = Counter(table["part"].to_pylist())
    return [("parts", f"{len(parts)} of {min(parts.values())} to {max(parts.values())} records")]


def _wave_facts(table: pa.Table) -> Facts:
    """Count waves by kind, and those that lack an end."""
    kind = _flat(table, "wave_kind")
    on, off = ("wave_on", "wave_off") if "wave_on" in table.column_names else ("on_ms", "off_ms")
    missing = [_missing(_flat(table, name)) for name in (on, off)]
    waves = ", ".join(f"{np.count_nonzero(kind == k)} {name}" for k, name in KINDS.items())
    no_on, no_off = map(np.count_nonzero, missing)
    return [("waves", f"{waves}; {no_on} without onset, {no_off} without end")]


def _missing(times: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which marks are not there: NaN in ms, `NOT_MARKED` in samples."""
    missing: npt.NDArray[np.bool_] = (
        np.isnan(times) if times.dtype.kind == "f" else times == NOT_MARKED
    )
    return missing


def _shard_facts(table: pa.Table) -> Facts:
    labels = np.bincount(_flat(table, "labels"), minlength=IGNORE + 1)
    known = labels.sum() - labels[IGNORE]
    shares = [
        f"{100 * labels[k] / max(known, 1):.1f} % {name}"
        for k, name in {**KINDS, OTHER: "none"}.items()
    ]
    return [
        *_wave_facts(table),
        ("annotated", f"{100 * known / max(labels.sum(), 1):.1f} % of {labels.sum()} frames"),
        ("of these", ", ".join(shares)),
    ]


def _prediction_facts(table: pa.Table) -> Facts:
    return _wave_facts(table)


def _token_facts(table: pa.Table) -> Facts:
    """Count events by symbol, and the streams that failed by reason."""
    symbols, _, _ = decode_column(table["words"])
    events = Counter(vocab.ID_TO_NAME[symbol] for symbol in symbols.tolist())
    reasons = Counter(reason for reason in table["error"].to_pylist() if reason)
    why = "".join(f"; {count} x {reason}" for reason, count in reasons.most_common())
    return [
        ("beats", f"{pc.sum(table['n_beats']).as_py() or 0}"),
        ("events", ", ".join(f"{count} {name}" for name, count in events.most_common())),
        ("words", f"{len(_flat(table, 'words'))}, 2 bytes each"),
        ("failed", f"{reasons.total()} of {table.num_rows} streams{why}"),
        *_paced_facts(table),
    ]


def _paced_facts(table: pa.Table) -> Facts:
    """Count the windows of records that are called paced."""
    if "paced" not in table.column_names:
        return []
    windows = table.select(["dataset", "record_id", "window", "paced"]).to_pandas()
    windows = windows.drop_duplicates(["dataset", "record_id", "window"])
    return [("paced", f"{int(windows['paced'].sum())} of {len(windows)} windows of records")]


def _flat(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """Give the values of all lists of a column."""
    values: npt.NDArray[Any] = pc.list_flatten(table[column]).to_numpy()
    return values


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return {"string": "text", "double": "float64", "float": "float32"}.get(str(kind), str(kind))


def _unit(column: str, kind: Kind) -> str:
    if "wave_on" in kind.columns and column in ("wave_on", "wave_peak", "wave_off"):
        return "samples"
    return next((unit for end, unit in UNITS.items() if column.endswith(end)), "")


def _cell(scalar: Any) -> str:
    """Write a cell in short: the first values of a list and their number."""
    value = scalar.as_py()
    if isinstance(value, list):
        few = " ".join(
            f"{item:.4g}" if isinstance(item, float) else str(item) for item in value[:3]
        )
        return f"{few} ... ({len(value)})" if len(value) > 3 else few or "(none)"
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else " / ".join(str(value).split("\n"))


def _shard_row(row: dict[str, Any]) -> tuple[str, str]:
    frame_ms = 1000 * len(row["signal"]) / row["fs_hz"] / len(row["labels"])
    chars = class_characters(np.array(row["labels"]), frame_ms=frame_ms)
    span = [row["span_on_ms"] / 1000, row["span_off_ms"] / 1000]
    nowhere = "not annotated" if np.isnan(span[0]) else None
    return chars, nowhere or f"{_waves(row)}; annotated {span[0]:.2f} to {span[1]:.2f} s"


def _record_row(row: dict[str, Any]) -> tuple[str, str]:
    names = ("wave_on", "wave_peak", "wave_off")
    marks = [np.array(row[name], dtype=np.int64) for name in names]
    waves = Waves(np.array(row["wave_kind"], dtype=np.uint8), *marks)
    n_samples, fs_hz = len(row["signal"]), row["fs_hz"]
    labels = frame_labels(
        waves,
        n_samples=n_samples,
        fs_hz=fs_hz,
        frame_ms=MS_PER_CHAR,
        n_frames=int(n_samples * 1000 / fs_hz / MS_PER_CHAR),
        span=annotated_span(waves) or NOTHING_ANNOTATED,
    )
    return class_characters(labels, frame_ms=MS_PER_CHAR), _waves(row)


def _token_row(row: dict[str, Any]) -> tuple[str, str]:
    chars = event_characters(decode(row["words"]))
    if row["error"]:
        return chars, f"failed: {row['error']}"
    said = f"{row['n_beats']} beats, {row['n_q_peaks']} Q peaks, {len(row['words'])} words"
    return chars, said + (f", paced, {row['n_spikes']} spikes" if row.get("paced") else "")


def _prediction_row(row: dict[str, Any]) -> tuple[str, str]:
    kind, on, off = (np.array(row[name]) for name in ("wave_kind", "on_ms", "off_ms"))
    return wave_characters(kind, on.astype(np.float64), off.astype(np.float64)), _waves(row)


def _probability_facts(table: pa.Table) -> Facts:
    """Count the labels of each class that is the most probable."""
    classes = _flat(table, "probabilities").reshape(-1, len(KINDS) + 1).argmax(axis=1)
    names = {**KINDS, OTHER: "none"}
    shares = [f"{100 * np.mean(classes == k):.1f} % {name}" for k, name in names.items()]
    lengths = ", ".join(f"{ms:g}" for ms in pc.unique(table["label_ms"]).to_pylist())
    return [("labels", f"of {lengths} ms"), ("likeliest", ", ".join(shares))]


def _probability_row(row: dict[str, Any]) -> tuple[str, str]:
    """Print the most probable class, and say how sure the model is of it."""
    probable = np.array(row["probabilities"], dtype=np.float32).reshape(-1, len(KINDS) + 1)
    classes = probable.argmax(axis=1).astype(np.uint8)
    said = f"mean probability of the likeliest class {probable.max(axis=1).mean():.3f}"
    return class_characters(classes, frame_ms=row["label_ms"]), said


def _waves(row: dict[str, Any]) -> str:
    return ", ".join(f"{row['wave_kind'].count(k)} {name}" for k, name in KINDS.items())


def _no_facts(_: pa.Table) -> Facts:
    return []


def record_lines(
    path: Path,
    table: pa.Table,
    kind: Kind,
    *,
    record: str,
    lead: str | None,
    width: int,
    colour: bool,
) -> list[str]:
    """Print the strips of one record, its leads below each other.

    Parameters
    ----------
    path, table, kind, width
        As for `table_lines`.
    record : str
        Which record.
    lead : str or None
        Which lead; ``None`` for all.
    colour : bool
        Whether to add colours.

    Returns
    -------
    list of str
        The lines.

    Raises
    ------
    DataError
        If the table holds no strips, no such record or no such lead, or a strip cannot be read.
    """
    if kind.characters is None:
        raise DataError(
            f"{path}: holds no strips ({kind.what}); shards, records, tokens and predictions do"
        )
    found = _chosen(path, table, "record_id", record, f"record {record!r}")
    if lead is not None:
        found = _chosen(path, found, "lead", lead, f"lead {lead!r} in record {record!r}")
    names = SYMBOL_NAMES if "words" in kind.columns else CLASS_NAMES
    lines: list[str] = []
    windows: dict[int, list[dict[str, Any]]] = {}
    for row in found.to_pylist():
        windows.setdefault(row.get("window", 0), []).append(row)
    for number, rows in windows.items():
        first = rows[0]
        title = [f"{first['dataset']} record {record}", f"split {first['split']}"]
        if len(windows) > 1:
            title.append(f"window {number}")
            if "window_start_ms" in first:
                title.append(f"from {first['window_start_ms'] / 1000:.2f} s of the record")
        lines += [*([""] if lines else []), *wrapped(", ".join(title), width)]
        strips = {}
        for row in rows:
            try:
                strips[row["lead"]], said = kind.characters(row)
            except ValueError as error:
                raise DataError(f"{path}, record {record}, lead {row['lead']}: {error}") from error
            lines += wrapped(f"lead {row['lead']}: {said}", width, "  ")
        lines += strip_lines(strips, width=width, names=names, colour=colour)
    return lines


def _chosen(path: Path, table: pa.Table, column: str, value: str, asked: str) -> pa.Table:
    """Keep the rows of one value, in capitals or not, or say what there is."""
    there = list(dict.fromkeys(map(str, table[column].to_pylist())))
    alike = [name for name in there if name.casefold() == value.casefold()]
    if value not in there and len(alike) == 1:
        value = alike[0]
    if value in there:
        return table.filter(pc.equal(pc.cast(table[column], pa.string()), value))
    if len(there) <= MOST_NAMES:
        raise DataError(f"{path}: no {asked}; there are {', '.join(there)}")
    near = difflib.get_close_matches(value, there, n=5, cutoff=0) or there[:5]
    raise DataError(f"{path}: no {asked}; of the {len(there)} there, nearest are {', '.join(near)}")


KINDS_OF_TABLE = (
    Kind(
        "Tokens: what a delineator found in each window of each lead, as packed words",
        frozenset({*STRIP_KEYS, "window", "words", "n_beats", "n_q_peaks", "error"}),
        _token_facts,
        _token_row,
    ),
    Kind(
        "Shard: windows of leads at the working rate, with frame labels and marks",
        frozenset(
            {*STRIP_KEYS, "window", "signal", "fs_hz", "labels", "wave_kind"}
            | {"on_ms", "off_ms", "span_on_ms", "span_off_ms"}
        ),
        _shard_facts,
        _shard_row,
    ),
    Kind(
        "Probabilities: what a model makes of each label of the records it did not learn from",
        frozenset({*STRIP_KEYS, "window", "system", "label_ms", "probabilities"}),
        _probability_facts,
        _probability_row,
    ),
    Kind(
        "Predictions: what a system found on the records that it is scored on",
        frozenset({*STRIP_KEYS, "window", "system", "wave_kind", "on_ms", "off_ms"}),
        _prediction_facts,
        _prediction_row,
    ),
    Kind(
        "Records: leads at their native rate, with marks",
        frozenset({*STRIP_KEYS, "signal", "fs_hz", "wave_kind"})
        | {"wave_on", "wave_peak", "wave_off"},
        _wave_facts,
        _record_row,
    ),
    Kind(
        "Index: the records of a data set, their splits, folds and parts",
        frozenset({"record_id", "split", "fold", "part"}),
        _index_facts,
        None,
    ),
)
OTHER_KIND = Kind("Parquet table of no known kind", frozenset(), _no_facts, None)
