"""Predict the frames and waves of one split with a trained model."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from openecg.errors import DataError
from openecg.files import write_parquet
from openecg.predictions import PREDICTION_SCHEMA
from openecg.stage2.checkpoint import load_checkpoint
from openecg.stage2.engine import compiled, compute_device, frame_logits
from openecg.stage2.postprocess import frames_to_waves
from openecg.stage2.training_set import KEYS, read_windows

log = logging.getLogger(__name__)


def predict(
    *, model: Path, shards: list[Path], split: str, threads: int, predictions: Path
) -> None:
    """Write what a trained model makes of the windows of one split.

    Parameters
    ----------
    model : Path
        File of ``train``.
    shards : list of Path
        All shards of one data set.
    split : str
        Which records to take.
    threads : int
        Of torch on the CPU.
    predictions : Path
        Parquet of `PREDICTION_SCHEMA`, one row per record, lead and window of the split, in the
        order of ``shards``. Times are in ms from the start of the window; ``off_ms`` is the time of
        the last sample of a wave.

    Raises
    ------
    DataError
        If the model or a shard cannot be read, the shards hold no row of ``split``, or their
        windows are not of the length and rate that the model takes.
    """
    network, origin = load_checkpoint(model)
    windows = read_windows(shards, split=split)
    found = (windows.fs_hz, windows.signal.shape[1])
    if found != (origin.fs_hz, origin.n_samples):
        raise DataError(
            f"{shards[0]}: windows of {found[1]} samples at {found[0]:g} Hz; {model} takes "
            f"{origin.n_samples} at {origin.fs_hz:g} Hz"
        )
    device = compute_device(threads)
    logits = frame_logits(
        compiled(network.to(device), device),
        torch.from_numpy(windows.signal).to(device),
        torch.from_numpy(windows.lead_index).to(device),
    )
    frames = logits.argmax(dim=2).to(torch.uint8).cpu().numpy()
    waves = [frames_to_waves(row, frame_ms=origin.frame_ms, fs_hz=origin.fs_hz) for row in frames]
    kind, on_ms, off_ms = zip(*waves, strict=True)
    columns = {name: windows.rows[name] for name in KEYS} | {
        "system": [origin.name] * len(frames),
        "seed": [str(origin.seed)] * len(frames),
        "frames": list(frames),
        "wave_kind": kind,
        "on_ms": on_ms,
        "off_ms": off_ms,
    }
    write_parquet(pa.table(columns, schema=PREDICTION_SCHEMA), predictions)
    log.info(
        "%s: %d rows of split %s by %s, seed %d, %d waves",
        predictions,
        len(frames),
        split,
        origin.name,
        origin.seed,
        np.concatenate(kind).size,
    )
