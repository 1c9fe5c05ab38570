"""How much cleaning pays: the probabilities of one model, decoded in many ways and scored."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from openecg.bootstrap import draw_records, estimate, rates_of
from openecg.files import write_tsv
from openecg.grouped import by_dataset
from openecg.metrics import per_record, score_strips
from openecg.score import ANNOTATED_SPAN, FULL_WINDOW, PROTOCOLS
from openecg.scored_split import MARKS, read_scored_split
from openecg.stage2.decode import by_seed, list_windows, write_decoded
from openecg.stage2.decoding import Decoding
from openecg.tolerances import TOLERANCES

log = logging.getLogger(__name__)

# The cleaning of openecg 0.1.0, on the grid that it was chosen from (functional-spec.md, 7), and
# dropping short waves instead, which absorbs no background.
MIN_RUN_MS = (20, 40, 60, 80, 100, 120)
MERGE_GAP_MS = (100, 200, 300, 400)
MIN_WAVE_MS = (0, 20, 40, 60)
MIN_P_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SCORED = (FULL_WINDOW, ANNOTATED_SPAN)
COLUMNS = [
    *("system", "dataset", "split", "min_run_ms", "merge_gap_ms", "min_wave_ms"),
    *("min_p_share", "protocol"),
    *(f"macro_{tolerance}{end}" for tolerance in TOLERANCES for end in ("", "_lo", "_hi")),
    *("n_records", "n_seeds", "bootstrap"),
]


def score_decoding_grid(
    *,
    probabilities: list[Path],
    shards: list[Path],
    decoding: str,
    frame_ms: float,
    system: str,
    bootstrap: int,
    seed: int,
    table: Path,
) -> None:
    """Decode the probabilities of one system with every cleaning of a grid, and score each.

    Parameters
    ----------
    probabilities : list of Path
        Files of ``predict``, for all its data sets, folds and seeds; an ensemble is decoded from
        the mean over its seeds.
    shards : list of Path
        All shards of these data sets.
    decoding : str
        Values of `Decoding`, as JSON; the grid replaces its cleaning.
    frame_ms : float
        Length in ms of frames: a multiple of the labels of the model.
    system : str
        What to call it.
    bootstrap : int
        Number of resamples.
    seed : int
        Seed of the resampling.
    table : Path
        TSV: for each data set and protocol a row for each ``min_run_ms`` and ``merge_gap_ms``
        (cleaned as openecg 0.1.0 does), for each ``min_wave_ms`` (shorter waves are dropped) and
        for each ``min_p_share`` (rare P waves are dropped; short waves as by ``decoding``): mean F1
        of the boundaries, ``macro_martinez`` and ``macro_150ms``, the mean over seeds, with its
        95 % interval ``_lo _hi``.

    Raises
    ------
    ConfigError
        If a value of the decoding is not as documented.
    DataError
        If the files do not belong together, or the decoding needs what they do not hold.
    """
    base = Decoding.from_json(decoding)
    parts = by_seed(probabilities, ensemble=base.ensemble)
    own_shards = by_dataset(shards)
    rows = [
        score
        for dataset, seeds in parts.items()
        for score in _scores(
            seeds,
            own_shards.get(dataset, []),
            base,
            frame_ms=frame_ms,
            system=system,
            bootstrap=bootstrap,
            seed=seed,
        )
    ]
    write_tsv(pd.DataFrame(rows, columns=COLUMNS), table)
    log.info("%s: %d rows, %d data sets", table, len(rows), len(parts))


def cleanings(base: Decoding) -> Iterator[Decoding]:
    """Give a decoding every cleaning of the grid.

    Parameters
    ----------
    base : Decoding
        Whose other values stay, but for ``likeliest`` where runs are cleaned as by openecg 0.1.0.
    """
    bare = replace(base, min_run_ms=0, merge_gap_ms=0, min_wave_ms=0, min_p_share=0)
    original = replace(bare, likeliest=[])
    for min_wave_ms in MIN_WAVE_MS:
        yield replace(bare, min_wave_ms=min_wave_ms)
    for min_p_share in MIN_P_SHARE:
        yield replace(bare, min_wave_ms=base.min_wave_ms, min_p_share=min_p_share)
    for min_run_ms, merge_gap_ms in product(MIN_RUN_MS, MERGE_GAP_MS):
        yield replace(original, min_run_ms=min_run_ms, merge_gap_ms=merge_gap_ms)


def _scores(
    seeds: dict[str, list[Path]],
    shards: list[Path],
    base: Decoding,
    *,
    frame_ms: float,
    system: str,
    bootstrap: int,
    seed: int,
) -> Iterator[dict[str, object]]:
    """Score the grid on one data set, given the probabilities of each seed."""
    listed = {name: list_windows(paths) for name, paths in seeds.items()}
    truth = ["peak_ms", "span_on_ms", "span_off_ms"]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.parquet") for name in listed}
        for how in cleanings(base):
            for name, own in listed.items():
                write_decoded(
                    own,
                    shards,
                    how,
                    frame_ms=frame_ms,
                    system=system,
                    seed=name,
                    predictions=paths[name],
                )
            split = read_scored_split(list(paths.values()), shards, found=MARKS, truth=truth)
            counts, record = score_strips(split, errors=False).counts, split.record
            every = np.ones(record.size, dtype=bool)
            for protocol in SCORED:
                row: dict[str, object] = {"system": system, "dataset": split.dataset}
                row |= {"split": split.split, "protocol": protocol}
                row |= {key: getattr(how, key) for key in COLUMNS if hasattr(how, key)}
                for i, tolerance in enumerate(TOLERANCES):
                    own_counts = counts[:, :, PROTOCOLS.index(protocol), i]
                    sums = per_record(own_counts, every, record)
                    weights = draw_records(sums.shape[1], bootstrap=bootstrap, seed=seed)
                    macro = estimate(sums, rates_of(sums), weights)[-1, :, -1, 0]
                    for end, value in zip(("", "_lo", "_hi"), macro, strict=True):
                        row[f"macro_{tolerance}{end}"] = value
                    row |= {"n_records": sums.shape[1]}
                yield row | {"n_seeds": len(listed), "bootstrap": bootstrap}
