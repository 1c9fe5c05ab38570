"""Leads with true and predicted waves, typical ones and some of the worst."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from openecg.errors import DataError
from openecg.files import ParquetRows, list_values, read_keys, read_parquet
from openecg.plots import Spans, strip
from openecg.report.parts import figure, label
from openecg.selection import ALL, HELD_OUT, SCOPES, TUNING
from openecg.tables import where
from openecg.waves import IGNORE

KEYS = ["dataset", "record_id", "lead", "window"]
WORST_SHARE = 0.25  # of the strips, to show failures beside the typical


def choose_strips(errors: pd.DataFrame, n_strips: int) -> pd.DataFrame:
    """Choose leads to draw: typical ones of records from easy to hard, and some of the worst.

    Parameters
    ----------
    errors : DataFrame
        ``dataset``, ``record_id``, ``lead``, ``window`` and ``error``, the share of annotated
        frames that are wrong.
    n_strips : int
        How many, as far as there are leads; divided evenly over the data sets as far as they have
        records, then as far as they have leads.

    Returns
    -------
    DataFrame
        Rows of ``errors`` with ``why``: one lead of each record, of a quarter the worst and of the
        others the median; more of a record only after every record has its strip, in turns and
        nearest to its median first.
    """
    if errors.empty:
        return errors.assign(why="")
    by_dataset = errors.groupby("dataset", sort=False)
    n_records = by_dataset["record_id"].nunique()
    first = _divide(n_strips, n_records)
    more = _divide(n_strips - sum(first.values()), by_dataset.size() - n_records)
    chosen = []
    for dataset, n_here in first.items():
        ranked = where(errors, dataset=dataset).sort_values(["error", *KEYS], kind="stable")
        n_worst = round(WORST_SHARE * n_here) if n_here > 1 else 0
        worst = ranked.iloc[::-1].drop_duplicates("record_id").head(n_worst)
        why = [
            f"worst lead of its record, rank {rank} of {n_records[dataset]} records by it"
            for rank in range(1, len(worst) + 1)
        ]
        others = ranked[~ranked["record_id"].isin(worst["record_id"])]
        medians = [
            rows.index[(len(rows) - 1) // 2] for _, rows in others.groupby("record_id", sort=False)
        ]
        typical = others.loc[medians].sort_values(["error", *KEYS], kind="stable")
        n_typical = min(n_here - n_worst, len(typical))
        middles = (np.arange(n_typical) + 0.5) / max(n_typical, 1)
        typical = typical.iloc[np.floor(middles * len(typical)).astype(int)]
        chosen.append(typical.assign(why="median lead of its record"))
        chosen.append(worst.assign(why=why))
        rest = ranked.drop(index=[*typical.index, *worst.index])
        median = ranked.groupby("record_id")["error"].median()
        rest["far"] = (rest["error"] - rest["record_id"].map(median)).abs()
        rest = rest.sort_values(["far", *KEYS], kind="stable")
        rest["turn"] = rest.groupby("record_id").cumcount()
        rest = rest.sort_values(["turn", *KEYS], kind="stable").head(more[dataset])
        rest = rest.drop(columns=["far", "turn"])
        chosen.append(rest.assign(why="another lead or window of its record"))
    return pd.concat(chosen)


def _divide(n: int, room: "pd.Series[int]") -> dict[str, int]:
    """Divide ``n`` evenly as far as there is room; what one cannot take goes to the others."""
    shares: dict[str, int] = {}
    for i, (name, most) in enumerate(room.sort_values(kind="stable").items()):
        shares[str(name)] = min(int(most), n // (len(room) - i))
        n -= shares[str(name)]
    return {str(name): shares[str(name)] for name in room.index}


def draw_strips(predictions: Sequence[Path], shards: Sequence[Path], n_strips: int) -> list[str]:
    """Draw some leads with true and predicted waves, as HTML figures.

    The waves shown are those of each trained setting's lowest seed, or of all systems if none was
    trained; of held-out records, or if none were scored, of the first scope that was.
    """
    files = _lowest_seeds(predictions)
    errors, places = [], []
    keys = [_keys(read_keys(path, KEYS)) for path in files]
    start = 0
    with ExitStack() as stack:
        frames = [stack.enter_context(ParquetRows([path], ["frames"])) for path in files]
        for path in shards:
            labels = read_parquet(path, columns=[*KEYS, "labels"])
            for number, own in enumerate(keys):
                found = own.get_indexer(_keys(labels))
                both = np.flatnonzero(found >= 0)
                if not both.size:
                    continue
                called = frames[number].take(found[both].astype(np.int64))["frames"]
                pairs = zip(labels["labels"].take(both), called, strict=True)
                wrong = [_share_wrong(list_values(a), list_values(b)) for a, b in pairs]
                errors.append(labels.select(KEYS).take(both).to_pandas().assign(error=wrong))
                place = {"file": number, "row": found[both], "truth": both + start}
                places.append(pd.DataFrame(place))
            start += labels.num_rows
    if not errors:
        raise DataError(
            f"{predictions[0]}: no strip in common with {shards[0]}; rows must agree in "
            f"{', '.join(KEYS)}"
        )
    both_sides = [pd.concat(parts, ignore_index=True) for parts in (errors, places)]
    every = pd.concat(both_sides, axis=1)
    # In the order of the files of predictions, as their strips come.
    every = every.sort_values(["file", "row"], kind="stable").reset_index(drop=True)
    mean = every.groupby(KEYS, sort=False)["error"].mean().dropna().reset_index()
    chosen = choose_strips(mean, n_strips)
    truth_names = [*KEYS, "fs_hz", "signal", "labels", "wave_kind", "on_ms", "off_ms"]
    truth_names += ["span_on_ms", "span_off_ms"]
    names = ["system", "seed", *KEYS, "split", "frames", "wave_kind", "on_ms", "off_ms"]
    wanted = every.merge(chosen[[*KEYS, "why"]].assign(order=range(len(chosen))), on=KEYS)
    html = []
    with ParquetRows(files, names) as systems, ParquetRows(shards, truth_names) as truth:
        starts = np.cumsum([0, *(len(own) for own in keys)])
        for _, one in wanted.sort_values(["order", "file"], kind="stable").groupby("order"):
            called = systems.take((starts[one["file"]] + one["row"]).to_numpy(np.int64))
            true = truth.take(one["truth"].to_numpy(np.int64)).to_pandas()
            rows = called.to_pandas().merge(
                true.drop_duplicates(KEYS), on=KEYS, suffixes=("", "_true")
            )
            rows = rows.assign(error=one["error"].to_numpy())
            html.append(_strip_html(rows, str(one["why"].iloc[0])))
    return html


def _lowest_seeds(predictions: Sequence[Path]) -> list[Path]:
    """Choose the file of each trained setting's lowest seed, or those of all systems.

    Only files of one scope are chosen: of the held-out records if there are any.
    """
    names = ["system", "dataset", "seed", "split"]
    first = []
    for path in predictions:
        with ParquetRows([path], names) as rows:
            if len(rows):
                first.append((path, rows.take(np.zeros(1, np.int64)).to_pylist()[0]))
    scopes = [one["split"] if one["split"] in (TUNING, ALL) else HELD_OUT for _, one in first]
    shown = min(scopes, key=SCOPES.index, default=HELD_OUT)
    first = [one for one, scope in zip(first, scopes, strict=True) if scope == shown]
    trained = [one for one in first if one[1]["seed"]]
    lowest: dict[tuple[str, str], Path] = {}

    def in_order(found: tuple[Path, dict[str, str]]) -> tuple[int, str]:
        seed = found[1]["seed"]
        return len(seed), seed  # 9 before 10 before `all`, that of an ensemble

    for path, one in sorted(trained or first, key=in_order):
        lowest.setdefault((one["system"], one["dataset"]), path)
    return list(lowest.values())


def _keys(table: pa.Table) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table.select(KEYS).to_pandas())


def _share_wrong(labels: npt.NDArray[np.uint8], frames: npt.NDArray[np.uint8]) -> float:
    """Return the share of annotated frames that are called otherwise; NaN if none is annotated."""
    known = np.asarray(labels) != IGNORE
    return float(np.mean((labels != frames)[known])) if known.any() else float("nan")


def _strip_html(rows: pd.DataFrame, why: str) -> str:
    """Draw one lead, given a row for each system."""
    one = rows.iloc[0]
    wrong = {
        label(row["system"], row["seed"]): f"{100 * row['error']:.1f} %"
        for _, row in rows.iterrows()
    }
    title = f"{one['dataset']} {one['record_id']}, lead {one['lead']}, window {one['window']}"
    svg = strip(
        np.asarray(one["signal"], dtype=np.float32),
        fs_hz=float(one["fs_hz"]),
        truth=Spans(one["wave_kind_true"], one["on_ms_true"], one["off_ms_true"]),
        predicted={
            label(row["system"], row["seed"]): Spans(row["wave_kind"], row["on_ms"], row["off_ms"])
            for _, row in rows.iterrows()
        },
        span_ms=(float(one["span_on_ms"]), float(one["span_off_ms"])),
        title=title,
    )
    shares = "; ".join(f"{system} {share}" for system, share in wrong.items())
    return figure(
        svg,
        f"{title}, {one['split']} split: {why}. Annotated frames called wrongly: {shares}.",
    )
