"""Training windows that stay in their shards, because they do not fit into the memory allowed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from openecg.blocks import BLOCK_ROWS
from openecg.files import ParquetRows, read_keys
from openecg.selection import learnt_rows
from openecg.stage2.batches import Data
from openecg.stage2.settings import ANY_LEADS
from openecg.stage2.training_set import FoundWindows, lead_groups, marks_of

MARKS_BYTES = 1024  # of a window of 10 s, on the device: `Marks` of some 15 waves
MIB = 2**20

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StreamedData:
    """Windows in their shards, of which a buffer at a time is on the device; see `Data`.

    Attributes
    ----------
    windows : FoundWindows
        These windows and others.
    items : ndarray of shape (n_items, n_leads), dtype int64
        Windows that a network sees together, in the order of the shards.
    buffer : int
        How many windows to learn from are held at a time; on a GPU two times this while it changes.
    device : torch.device
    """

    windows: FoundWindows
    items: Ints
    buffer: int
    device: torch.device

    @property
    def n_windows(self) -> int:
        """Count the windows."""
        return int(np.unique(self.items).size)

    @property
    def n_items(self) -> int:
        """Count the items."""
        return len(self.items)

    def blocks(self) -> Iterator[Data]:
        """Read all windows in the order of their shards, some at a time.

        The next take the place of these.
        """
        n_items = max(1, min(self.buffer, BLOCK_ROWS) // self.items.shape[1])
        yield from self._read(
            [self.items[start : start + n_items] for start in range(0, len(self.items), n_items)]
        )

    def batches(self, size: int, *, first: int) -> Iterator[tuple[Data, Tensor]]:
        """Draw an epoch from torch's global generator, and read its items buffer by buffer.

        Row groups come in random order, as many at a time as the buffer holds; the items of these
        are shuffled together. Every item is in one batch but for the last few, less than ``size``.

        Parameters
        ----------
        size : int
            Items of a batch.
        first : int
            Batches to leave out.

        Yields
        ------
        data : Data
            The buffer; the next takes its place.
        items : Tensor of shape (size, n_leads), dtype int64
            Rows of ``data.items``.
        """
        order, ends = self.draw_order()
        # What is left of a buffer goes with the next one.
        bounds = np.unique([first, *np.maximum(ends // size, first)]) * size
        parts = [self.items[order[start:stop]] for start, stop in pairwise(bounds.tolist())]
        for data in self._read(parts):
            yield from ((data, rows) for rows in data.items.view(-1, size, self.items.shape[1]))

    def draw_order(self) -> tuple[Ints, Ints]:
        """Draw the items of an epoch.

        Returns
        -------
        order : ndarray of shape (n_items,), dtype int64
            Each item once.
        ends : ndarray of shape (n_buffers,), dtype int64
            Where each buffer ends in ``order``.
        """
        first = self.items.min(axis=1)  # an item belongs to the row group of its first window
        place = self.windows.file[first], self.windows.row_group[first]
        _, group = np.unique(np.stack(place), axis=1, return_inverse=True)
        members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
        drawn = [members[i] for i in torch.randperm(len(members)).tolist()]
        room = max(1, self.buffer // self.items.shape[1])
        number = np.cumsum([len(own) for own in drawn]) - 1
        buffers = np.split(np.arange(len(drawn)), np.flatnonzero(np.diff(number // room)) + 1)
        shuffled = []
        for own in buffers:
            together = np.concatenate([drawn[i] for i in own])
            shuffled.append(together[torch.randperm(together.size).numpy()])
        return np.concatenate(shuffled), np.cumsum([one.size for one in shuffled])

    def _read(self, parts: Sequence[Ints]) -> Iterator[Data]:
        """Read the windows of some items, then of others, the signals into the same memory.

        Memory taken anew for each part is given back late and in pieces, so that a process grows
        with their number. The items of a result are those asked for, in their order.
        """
        room = max((items.size for items in parts), default=0)
        held = np.empty((room, self.windows.n_samples), dtype=np.float32)
        for items in parts:
            which = np.unique(items)
            windows = self.windows.read(which, out=held)
            marks = marks_of(windows.rows, self.windows.shards[0].parent)
            yield Data(
                torch.from_numpy(windows.signal).to(self.device),
                torch.from_numpy(windows.lead_index).to(self.device),
                marks.to(self.device),
                torch.from_numpy(np.searchsorted(which, items)).to(self.device),
                windows.fs_hz,
            )


def training_bytes(shards: Sequence[Path], scheme: str) -> tuple[int, int]:
    """Say how much memory the windows that a scheme learns from take on a device.

    Returns
    -------
    windows, each : int
        Their number, and the bytes that one takes.
    """
    n_rows, n_windows, one = 0, 0, None
    for path in shards:
        table = read_keys(path, ["split", "fold"])
        split = table["split"].to_numpy(zero_copy_only=False).astype(str)
        chosen = learnt_rows(scheme, split, table["fold"].to_numpy().astype(np.int64))
        n_windows += int(chosen.sum())
        if one is None and chosen.any():
            one = np.flatnonzero(chosen)[:1] + n_rows
        n_rows += table.num_rows
    if one is None:
        return 0, MARKS_BYTES
    with ParquetRows(shards, ["signal"]) as files:
        n_samples = len(files.take(one)["signal"][0])
    return n_windows, n_samples * np.dtype(np.float32).itemsize + MARKS_BYTES


def streamed_data(
    windows: FoundWindows,
    chosen: npt.NDArray[np.bool_],
    *,
    leads: str,
    buffer: int,
    device: torch.device,
) -> StreamedData:
    """Prepare to read some windows when they are needed.

    Parameters
    ----------
    windows : FoundWindows
        With the columns ``MARKS``.
    chosen : ndarray of bool, shape (n_windows,)
        Which windows.
    leads : str
        As for `openecg.stage2.batches.device_data`.
    buffer : int
        How many windows to hold at a time.
    device : torch.device
    """
    rows = np.flatnonzero(chosen)
    items = rows[:, None]
    if leads == ANY_LEADS and rows.size:
        items = rows[lead_groups(windows.rows.take(rows))]
    return StreamedData(windows, items, buffer, device)
