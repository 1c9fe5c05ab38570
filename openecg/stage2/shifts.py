"""Test-time augmentation: a model looks at a strip several times, each time shifted a little."""

import torch
from torch import Tensor, nn

from openecg.stage2.engine import run_batch
from openecg.stage2.network import Output

STEP = (
    3  # labels between two looks; no divisor of the strides of the networks, which are powers of 2
)


def run_shifted(network: nn.Module, signal: Tensor, lead_index: Tensor, *, shifts: int) -> Output:
    """Run a network, which is in evaluation mode, on shifted copies, and average what it says.

    Parameters
    ----------
    network : nn.Module
        On the device of ``signal``.
    signal : Tensor of shape (B, L, n_samples), dtype float32
        Beyond its ends the first and the last sample go on.
    lead_index : Tensor of shape (B, L), dtype int64
    shifts : int
        How many copies, around none; 1: only the strip as it is.

    Returns
    -------
    Output
        As of `openecg.stage2.engine.run_batch`; its logits are logarithms of the mean
        probabilities. What a copy says of labels beyond the strip does not count.
    """
    as_it_is = run_batch(network, signal, lead_index)
    if shifts == 1:
        return as_it_is
    n_samples, n_labels = signal.shape[2], as_it_is.logits.shape[1]
    samples = torch.arange(n_samples, device=signal.device)
    labels = torch.arange(n_labels, device=signal.device)
    probability = torch.zeros_like(as_it_is.logits)
    offsets = None if as_it_is.offsets is None else torch.zeros_like(as_it_is.offsets)
    n_looks = torch.zeros(n_labels, 1, device=signal.device)
    for number in range(shifts):
        ahead = STEP * (number - shifts // 2)  # labels
        places = (samples + ahead * (n_samples // n_labels)).clamp(0, n_samples - 1)
        out = run_batch(network, signal[..., places], lead_index) if ahead else as_it_is
        own = labels - ahead
        inside = ((own >= 0) & (own < n_labels))[:, None].float()
        own = own.clamp(0, n_labels - 1)
        probability += out.logits.softmax(dim=2)[:, own] * inside
        if offsets is not None and out.offsets is not None:
            offsets += out.offsets[:, own] * inside
        n_looks += inside
    return Output((probability / n_looks).log(), None if offsets is None else offsets / n_looks)
