"""Changes of the training signals; what moves in time takes its labels along exactly."""

import math
from functools import partial

import torch
from torch import Tensor

from openecg.stage2.settings import Augmentation
from openecg.waves import IGNORE

# Pulses of ventricular pacemakers, as in the paced training records of LUDB at 250 Hz: the time
# from the pulse to the QRS onset, and the size, whose sign and size differ from lead to lead.
SPIKE_BEFORE_QRS_MS = (0.0, 24.0)
SPIKE_SD = 3.0


def draw_times(
    n_items: int, n_samples: int, augmentation: Augmentation, *, fs_hz: float, device: torch.device
) -> Tensor:
    """Draw where in its strip each item begins and how fast time runs.

    Parameters
    ----------
    n_items, n_samples : int
        How many items, and samples in each.
    augmentation : Augmentation
        ``shift_ms``, drawn evenly in both directions, and ``time_scale``, drawn evenly on a
        logarithmic scale.
    fs_hz : float
        Sampling rate in Hz.
    device : torch.device
        Of the result.

    Returns
    -------
    Tensor of shape (n_items, n_samples + 1), dtype float32
        The time in ms of the strip at which each sample, and last the end, of an item lies. A scale
        of 1.2 makes waves 1.2 times as long. The middle of the strip stays where it is but for the
        shift.
    """
    low, high = (math.log(scale) for scale in augmentation.time_scale)
    scale = _drawn(n_items, low, high, device=device).exp()
    shift_ms = _drawn(n_items, -1, 1, device=device) * augmentation.shift_ms
    length_ms = n_samples * 1000.0 / fs_hz
    grid_ms = torch.arange(n_samples + 1, device=device) * (1000.0 / fs_hz)
    return (grid_ms - length_ms / 2) / scale + length_ms / 2 + shift_ms


def signal_at(signal: Tensor, times_ms: Tensor, *, fs_hz: float) -> Tensor:
    """Read signals between their samples, on straight lines; edges go on as they are.

    Parameters
    ----------
    signal : Tensor of shape (N, n_samples), dtype float32
        Strips.
    times_ms : Tensor of shape (N, n), dtype float32
        Where to read each, in ms from its first sample.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    Tensor of shape (N, n), dtype float32
    """
    place = (times_ms * (fs_hz / 1000)).clamp(0, signal.shape[1] - 1)
    first = place.floor().clamp(max=signal.shape[1] - 2).long()
    share = place - first
    return torch.lerp(signal.gather(1, first), signal.gather(1, first + 1), share)


def add_spikes(
    signal: Tensor, times_ms: Tensor, qrs_on_ms: Tensor, augmentation: Augmentation, *, n_leads: int
) -> Tensor:
    """Pace some items: each of their QRS complexes gets a pulse ahead of it, in all leads at once.

    Parameters
    ----------
    signal : Tensor of shape (N, n_samples), dtype float32
        Strips with standard deviation 1; the leads of an item behind each other.
    times_ms : Tensor of shape (N, n_samples), dtype float32
        The time of each sample in its strip, ascending, in ms.
    qrs_on_ms : Tensor of shape (N, W), dtype float32
        QRS onsets in ms of the strip, ascending, filled up with infinity. Those of the first lead
        of an item hold for all of them.
    augmentation : Augmentation
        ``spikes``, the share of the items.
    n_leads : int
        Leads of an item.

    Returns
    -------
    Tensor of shape (N, n_samples), dtype float32
    """
    n_strips, n_samples = signal.shape
    n_items = n_strips // n_leads

    drawn = partial(_drawn, n_items, device=signal.device)
    paced = drawn(0, 1) < augmentation.spikes
    at_ms = qrs_on_ms[::n_leads] - drawn(*SPIKE_BEFORE_QRS_MS)
    at = torch.searchsorted(times_ms[::n_leads].contiguous(), at_ms.contiguous())  # [n_items, W]
    seen = paced & (at > 0) & (at < n_samples)
    pulses = signal.new_zeros(n_items, n_samples)
    pulses.scatter_add_(1, at.clamp(max=n_samples - 1), seen.float())
    width = drawn(0, 1)  # how much of the pulse is left a sample later
    pulses[:, 1:] += width * pulses[:, :-1].clone()
    size = torch.randn(n_items, n_leads, device=signal.device) * drawn(0, SPIKE_SD)
    return signal + (size[..., None] * pulses[:, None]).flatten(0, 1)


def change_signal(signal: Tensor, augmentation: Augmentation, *, fs_hz: float) -> Tensor:
    """Change the values of strips, each in its own way.

    Parameters
    ----------
    signal : Tensor of shape (N, n_samples), dtype float32
        Strips with mean 0 and standard deviation 1; all sizes are in this unit.
    augmentation : Augmentation
        ``operations`` of functional spec 5.5 (a), drawn without replacement: power line hum, a sine
        of 2 to 30 Hz, white noise, amplitude. Then ``amplitude``, ``noise`` and ``wander``.
    fs_hz : float
        Sampling rate in Hz.

    Returns
    -------
    Tensor of shape (N, n_samples), dtype float32
    """
    n_strips, n_samples = signal.shape
    device = signal.device

    drawn = partial(_drawn, n_strips, device=device)

    def sine(hz: Tensor, size: Tensor) -> Tensor:
        turns = hz * (torch.arange(n_samples, device=device) / fs_hz) + drawn(0, 1)
        return size * torch.sin(2 * math.pi * turns)

    if augmentation.operations:
        order = torch.rand(n_strips, 4, device=device).argsort(dim=1)
        chosen = order < augmentation.operations  # each operation once, so many of the four
        line_hz = torch.where(drawn(0, 1) < 0.5, 50.0, 60.0)
        signal = signal + chosen[:, :1] * sine(line_hz, drawn(0.02, 0.08))
        signal = signal + chosen[:, 1:2] * sine(drawn(2, 30), drawn(0.01, 0.05))
        signal = signal + chosen[:, 2:3] * drawn(0.02, 0.08) * torch.randn_like(signal)
        signal = signal * (1 + chosen[:, 3:] * drawn(-1, 1) * drawn(0.1, 0.3))
    if augmentation.amplitude:
        signal = signal * (1 + drawn(-1, 1) * augmentation.amplitude)
    if augmentation.noise:
        signal = signal + drawn(0, 1) * augmentation.noise * torch.randn_like(signal)
    if augmentation.wander:
        for _ in range(2):
            signal = signal + sine(drawn(0.05, 0.6), drawn(0, 1) * augmentation.wander)
    return signal


def keep_inside(target: Tensor, augmentation: Augmentation, *, label_ms: float) -> Tensor:
    """Leave the labels of the first and last ``mask_edges_s`` out of the loss."""
    n_edge = round(augmentation.mask_edges_s * 1000 / label_ms)
    if n_edge:
        target = target.clone()
        target[:, :n_edge] = IGNORE
        target[:, -n_edge:] = IGNORE
    return target


def _drawn(n: int, low: float, high: float, *, device: torch.device) -> Tensor:
    """Draw evenly, shape (n, 1)."""
    return torch.empty(n, 1, device=device).uniform_(low, high)
