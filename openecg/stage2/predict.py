"""Say how probable each class is in each label of the records that a scheme scores."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from openecg.errors import ConfigError, DataError
from openecg.files import write_parquet
from openecg.probabilities import PROBABILITY_SCHEMA
from openecg.selection import scored_rows, split_name
from openecg.stage2.checkpoint import load_checkpoint
from openecg.stage2.engine import compiled, compute_device, run_network, smaller_groups
from openecg.stage2.settings import ANY_LEADS, Setting
from openecg.stage2.training_set import KEYS, lead_groups, read_windows

log = logging.getLogger(__name__)


def predict(
    *, model: Path, shards: list[Path], leads: int, threads: int, probabilities: Path
) -> None:
    """Write what a trained model makes of the windows that its scheme scores.

    Parameters
    ----------
    model : Path
        File of ``train``. It says which records it did not learn from.
    shards : list of Path
        All shards of one data set.
    leads : int
        How many leads of a record a model for any leads sees at a time; 0: all of them. Models for
        one lead see one.
    threads : int
        Of torch on the CPU.
    probabilities : Path
        Parquet of `PROBABILITY_SCHEMA`, one row per record, lead and window, in the order of
        ``shards``.

    Raises
    ------
    ConfigError
        If ``leads`` is more than the records have.
    DataError
        If the model or a shard cannot be read, the shards hold no such record, or their windows are
        not of the length and rate that the model takes.
    """
    network, origin = load_checkpoint(model)
    setting = Setting.from_dict(origin.setting)
    windows = read_windows(
        shards, select=lambda split, fold: scored_rows(origin.scheme, split, fold)
    )
    found = (windows.fs_hz, windows.signal.shape[1])
    if found != (origin.fs_hz, origin.n_samples):
        raise DataError(
            f"{shards[0]}: windows of {found[1]} samples at {found[0]:g} Hz; {model} takes "
            f"{origin.n_samples} at {origin.fs_hz:g} Hz"
        )
    items = np.arange(len(windows.signal))[:, None]
    if setting.training.leads == ANY_LEADS:
        items = lead_groups(windows.rows)
        if leads > items.shape[1]:
            raise ConfigError(
                f"leads {leads}: the records of {shards[0].parent} have {items.shape[1]} at most"
            )
        if leads:
            items = smaller_groups(items, leads, seed=origin.seed)
    device = compute_device(threads)
    out = run_network(
        compiled(network.to(device), device),
        torch.from_numpy(windows.signal).to(device),
        torch.from_numpy(windows.lead_index).to(device),
        torch.from_numpy(items).to(device),
    )
    n_windows, n_labels = out.logits.shape[:2]
    columns: dict[str, Any] = {name: windows.rows[name] for name in KEYS}
    scope = origin.scheme.rstrip("0123456789")
    columns["split"] = [split_name(scope, name) for name in columns["split"].to_pylist()]
    columns |= {
        "system": [origin.name] * n_windows,
        "seed": [str(origin.seed)] * n_windows,
        "fs_hz": [origin.fs_hz] * n_windows,
        "label_ms": [network.samples_per_label * 1000 / origin.fs_hz] * n_windows,
        "probabilities": _half(out.logits.softmax(dim=2)),
        "offsets": [None] * n_windows if out.offsets is None else _half(out.offsets),
    }
    write_parquet(pa.table(columns, schema=PROBABILITY_SCHEMA), probabilities)
    log.info(
        "%s: %d windows by %s, %s, seed %d, %d labels each, %d leads at a time",
        probabilities,
        n_windows,
        origin.name,
        origin.scheme,
        origin.seed,
        n_labels,
        items.shape[1],
    )


def _half(values: Tensor) -> list[npt.NDArray[np.float16]]:
    """Flatten the values of each window."""
    return list(values.flatten(1).half().cpu().numpy())
