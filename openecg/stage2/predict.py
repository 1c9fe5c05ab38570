"""Say how probable each class is in each label of the records that a scheme scores."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from openecg.blocks import BLOCK_ROWS
from openecg.errors import ConfigError, DataError
from openecg.files import parquet_writer, read_keys
from openecg.probabilities import PROBABILITY_SCHEMA
from openecg.selection import scored_rows, split_name
from openecg.stage2.checkpoint import Origin, load_checkpoint
from openecg.stage2.engine import compute_device, evaluation_batches, smaller_groups
from openecg.stage2.network import Network, Output
from openecg.stage2.settings import ANY_LEADS, Setting
from openecg.stage2.shifts import run_shifted
from openecg.stage2.training_set import KEYS, FoundWindows, lead_groups

log = logging.getLogger(__name__)


def predict(
    *, model: Path, shards: list[Path], leads: int, shifts: int, threads: int, probabilities: Path
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
    shifts : int
        How many shifted copies of a window it sees, whose mean is taken; 1: the window as it is.
    threads : int
        Of torch on the CPU.
    probabilities : Path
        Parquet of `PROBABILITY_SCHEMA`, one row per record, lead and window, in the order of
        ``shards``.

    Raises
    ------
    ConfigError
        If ``leads`` is more than the records have, or ``shifts`` is not positive.
    DataError
        If the model or a shard cannot be read, the shards hold no such record, or their windows are
        not of the length and rate that the model takes.
    """
    if shifts < 1:
        raise ConfigError(f"shifts must be 1 or more, got {shifts}")
    network, origin = load_checkpoint(model)
    setting = Setting.from_dict(origin.setting)
    windows = FoundWindows(
        shards, select=lambda split, fold: scored_rows(origin.scheme, split, fold)
    )
    found = (windows.fs_hz, windows.n_samples)
    if found != (origin.fs_hz, origin.n_samples):
        raise DataError(
            f"{shards[0]}: windows of {found[1]} samples at {found[0]:g} Hz; {model} takes "
            f"{origin.n_samples} at {origin.fs_hz:g} Hz"
        )
    n_windows = windows.number.size
    items = np.arange(n_windows)[:, None]
    if setting.training.leads == ANY_LEADS:
        items = lead_groups(windows.rows)
        if leads > items.shape[1]:
            raise ConfigError(
                f"leads {leads}: the records of {shards[0].parent} have {items.shape[1]} at most"
            )
        if leads:
            items = smaller_groups(items, leads, seed=origin.seed)
    native = pa.concat_tables([read_keys(path, ["native_fs_hz"]) for path in shards])
    rows = windows.rows.append_column("native_fs_hz", native["native_fs_hz"].take(windows.number))
    device = compute_device(threads)
    network.to(device)
    n_labels = 0
    with parquet_writer(PROBABILITY_SCHEMA, probabilities) as writer:
        for block, out in evaluate(network, windows, items, device, shifts=shifts):
            n_labels = out.logits.shape[1]
            writer.write(_table(rows[block], out, network, origin))
    log.info(
        "%s: %d windows by %s, %s, seed %d, %d labels each, %d leads at a time, %d shifts",
        probabilities,
        n_windows,
        origin.name,
        origin.scheme,
        origin.seed,
        n_labels,
        items.shape[1],
        shifts,
    )


def evaluate(
    network: nn.Module,
    windows: FoundWindows,
    items: npt.NDArray[np.int64],
    device: torch.device,
    *,
    shifts: int,
) -> Iterator[tuple[slice, Output]]:
    """Run a network over windows, of which only some are in memory at a time.

    Parameters
    ----------
    network : nn.Module
        On ``device``.
    windows : FoundWindows
    items : ndarray of shape (n_items, n_leads), dtype int64
        Which windows it sees together; each is in one item or more, of which the last counts.
    device : torch.device
    shifts : int
        As for `openecg.stage2.shifts.run_shifted`.

    Yields
    ------
    windows : slice
        The next ones in their order.
    out : Output
        Of these, as of `openecg.stage2.engine.run_network`, on the CPU.
    """
    network.eval()
    batches = [rows.numpy() for rows in evaluation_batches(torch.from_numpy(items))]
    # Windows that are still needed start here; those before here are complete after a batch.
    lowest = np.minimum.accumulate([rows.min() for rows in batches[::-1]])[::-1]
    last = np.zeros(windows.number.size, dtype=np.int64)
    for number, rows in enumerate(batches):
        last[rows] = number
    complete = np.searchsorted(np.maximum.accumulate(last), np.arange(len(batches)), side="right")
    start = stop = done = 0
    signal = np.empty((0, windows.n_samples), dtype=np.float32)
    lead_index = np.empty(0, dtype=np.int64)
    ready: dict[int, tuple[Tensor, Tensor | None]] = {}
    for number, rows in enumerate(batches):
        if rows.max() >= stop:
            end = min(max(stop + BLOCK_ROWS, int(rows.max()) + 1), last.size)
            more = windows.read(np.arange(stop, end))
            kept = int(lowest[number]) - start
            signal = np.concatenate([signal[kept:], more.signal])
            lead_index = np.concatenate([lead_index[kept:], more.lead_index])
            start, stop = start + kept, end
        at = rows - start
        out = run_shifted(
            network,
            torch.from_numpy(signal[at]).to(device),
            torch.from_numpy(lead_index[at]).to(device),
            shifts=shifts,
        )
        logits = out.logits.cpu()
        offsets = None if out.offsets is None else out.offsets.cpu()
        for i, row in enumerate(rows.ravel().tolist()):
            ready[row] = (logits[i], None if offsets is None else offsets[i])
        if complete[number] > done:
            block = slice(done, int(complete[number]))
            both = [ready.pop(row) for row in range(block.start, block.stop)]
            ahead = [one for _, one in both if one is not None]
            logits = torch.stack([one for one, _ in both])
            yield block, Output(logits, torch.stack(ahead) if ahead else None)
            done = block.stop


def _table(rows: pa.Table, out: Output, network: Network, origin: Origin) -> pa.Table:
    """Lay out the output of some windows as rows of `PROBABILITY_SCHEMA`."""
    n_windows = rows.num_rows
    columns: dict[str, Any] = {name: rows[name] for name in [*KEYS, "native_fs_hz"]}
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
    return pa.table(columns, schema=PROBABILITY_SCHEMA)


def _half(values: Tensor) -> list[npt.NDArray[np.float16]]:
    """Flatten the values of each window."""
    return list(values.flatten(1).half().numpy())
