"""What a step of training learns from, made on the device from marks and signals."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from openecg.stage2.augment import add_spikes, change_signal, draw_times, keep_inside, signal_at
from openecg.stage2.engine import label_edges
from openecg.stage2.network import Network
from openecg.stage2.settings import ANY_LEADS, Setting, Training
from openecg.stage2.targets import Marks, label_targets, offset_targets
from openecg.stage2.training_set import TrainingSet, lead_groups
from openecg.stage2.transplant import transplant_p
from openecg.waves import BOUNDARIES, IGNORE

TARGET_BATCH = 256  # windows whose labels are made at once


@dataclass(frozen=True)
class Data:
    """Windows on the device.

    Attributes
    ----------
    signal : Tensor of shape (n, n_samples), dtype float32
    lead_index : Tensor of shape (n,), dtype int64
    marks : Marks
        Of these n windows.
    items : Tensor of shape (n_items, n_leads), dtype int64
        Windows that a network sees together.
    fs_hz : float
        Sampling rate in Hz.
    """

    signal: Tensor
    lead_index: Tensor
    marks: Marks
    items: Tensor
    fs_hz: float

    @property
    def n_windows(self) -> int:
        """Count the windows."""
        return len(self.signal)

    @property
    def n_items(self) -> int:
        """Count the items."""
        return len(self.items)

    def blocks(self) -> Iterator["Data"]:
        """Give all windows; those that stay in their shards come some at a time."""
        yield self

    def batches(self, size: int, *, first: int) -> Iterator[tuple["Data", Tensor]]:
        """Draw an epoch from torch's global generator; every item is in one batch at most.

        Parameters
        ----------
        size : int
            Items of a batch; a rest is left out.
        first : int
            Batches to leave out.

        Yields
        ------
        data : Data
            What the rows are of.
        items : Tensor of shape (size, n_leads), dtype int64
            Rows of ``data.items``.
        """
        n_batches = self.n_items // size
        order = torch.randperm(self.n_items)[: n_batches * size]
        batches = self.items[order.to(self.signal.device)].view(n_batches, size, -1)
        yield from ((self, items) for items in batches[first:])


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes
    ----------
    signal : Tensor of shape (B, L, n_samples), dtype float32
    lead_index : Tensor of shape (B, L), dtype int64
    target : Tensor of shape (B L, T), dtype uint8
    offsets : Tensor of shape (B L, T, 6), or None
    """

    signal: Tensor
    lead_index: Tensor
    target: Tensor
    offsets: Tensor | None


def device_data(
    training_set: TrainingSet, chosen: npt.NDArray[np.bool_], *, leads: str, device: torch.device
) -> Data:
    """Move some windows to the device.

    Parameters
    ----------
    training_set : TrainingSet
    chosen : ndarray of bool, shape (n_windows,)
        Which windows.
    leads : str
        ``one``: each window is an item by itself; ``any``: the leads of a record are one item.
    device : torch.device
    """
    windows = training_set.windows
    rows = np.flatnonzero(chosen)
    items = np.arange(rows.size)[:, None]
    if leads == ANY_LEADS and rows.size:
        items = lead_groups(windows.rows.take(rows))
    return Data(
        torch.from_numpy(windows.signal[chosen]).to(device),
        torch.from_numpy(windows.lead_index[chosen]).to(device),
        training_set.marks.at(torch.from_numpy(rows)).to(device),
        torch.from_numpy(items).to(device),
        windows.fs_hz,
    )


def make_batch(data: Data, items: Tensor, network: Network, setting: Setting) -> Batch:
    """Put together what one step learns from, drawing from torch's global generator.

    Parameters
    ----------
    data : Data
    items : Tensor of shape (B, n_leads), dtype int64
        Rows of ``data.items``. With ``leads: any`` a number of leads is drawn, the same for all
        items, and so many leads of each.
    network : nn.Module
        Says how many samples a label holds.
    setting : Setting
    """
    training, augmentation = setting.training, setting.augmentation
    if training.leads == ANY_LEADS:
        n_kept = int(torch.randint(1, items.shape[1] + 1, ()).item())
        dealt = torch.rand(items.shape, device=items.device).argsort(dim=1)[:, :n_kept]
        items = items.gather(1, dealt)
    n_items, n_leads = items.shape
    rows = items.flatten()
    signal, marks = data.signal[rows], data.marks.at(rows)
    if augmentation.p_waves:
        transplant_p(signal, marks, augmentation, n_leads=n_leads, fs_hz=data.fs_hz)
    n_samples, step = signal.shape[1], network.samples_per_label
    times = label_edges(n_samples, 1, fs_hz=data.fs_hz).to(signal.device).expand(len(rows), -1)
    if augmentation.moves:
        times = draw_times(
            n_items, n_samples, augmentation, fs_hz=data.fs_hz, device=signal.device
        ).repeat_interleave(n_leads, dim=0)
        signal = signal_at(signal, times[:, :-1], fs_hz=data.fs_hz)
    edges = times[:, : n_samples // step * step + 1 : step].contiguous()
    if augmentation.spikes:
        onsets = marks.boundary_ms[:, BOUNDARIES.index("QRS_on")]
        signal = add_spikes(signal, times[:, :-1], onsets, augmentation, n_leads=n_leads)
    target = label_targets(marks, edges, masked=training.mask_unannotated)
    if augmentation.mask_edges_s:
        target = keep_inside(target, augmentation, label_ms=step * 1000 / data.fs_hz)
    wanted = None
    if training.offset_weight:
        wanted = offset_targets(marks, edges, samples_per_label=step)
        wanted = wanted.masked_fill((target == IGNORE)[..., None], torch.nan)
    signal = change_signal(signal, augmentation, fs_hz=data.fs_hz)
    return Batch(signal.view(n_items, n_leads, -1), data.lead_index[items], target, wanted)


def plain_targets(network: Network, data: Data, training: Training) -> Tensor:
    """Return the labels of all windows as they are, shape (n, T), dtype uint8."""
    step = network.samples_per_label
    edges = label_edges(data.signal.shape[1], step, fs_hz=data.fs_hz).to(data.signal.device)
    parts = [
        label_targets(
            data.marks.at(rows), edges.expand(len(rows), -1), masked=training.mask_unannotated
        )
        for rows in torch.split(torch.arange(len(data.signal), device=edges.device), TARGET_BATCH)
    ]
    return torch.cat(parts)
