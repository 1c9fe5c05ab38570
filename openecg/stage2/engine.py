"""Where and how networks compute, the same in training and in prediction."""

import importlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from openecg.stage2.network import Network, Output

log = logging.getLogger(__name__)

EVALUATION_BATCH = 48  # leads
# On an H200 compiling C takes some 25 s and saves 7 of 22 ms a step; with CUDA graphs not measured.
COMPILED_STEPS = 2000
AUTO, LOW, HIGH = "auto", "bfloat16", "float32"


def compute_device(threads: int) -> torch.device:
    """Take the GPU if there is one; else the CPU, where equal inputs then give equal bytes.

    Parameters
    ----------
    threads : int
        Of torch on the CPU. A sum split over other threads rounds differently.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Else the deterministic mode fills all new memory with NaN, a sixth of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} threads"
    log.info("torch %s on %s (%s)", torch.__version__, device.type, name)
    return device


def build_model(model: Mapping[str, Any]) -> Network:
    """Make the network of the entry ``model`` of a setting, by the module it names.

    Its weights are drawn from torch's global generator.

    Raises
    ------
    TypeError
        If the module does not take these options, or needs others.
    """
    module = importlib.import_module(f"openecg.stage2.{model['architecture']}")
    options = {key: value for key, value in model.items() if key != "architecture"}
    network: Network = module.build(**options)
    return network


def compiled(network: nn.Module, device: torch.device, *, n_steps: int, varied: bool) -> nn.Module:
    """Compile a network for a GPU if that pays; weights are shared.

    Parameters
    ----------
    network : nn.Module
    device : torch.device
    n_steps : int
        For how many steps it will be used.
    varied : bool
        Whether the number of leads changes from step to step; each would be compiled by itself.
    """
    if device.type != "cuda" or n_steps < COMPILED_STEPS or varied:
        return network
    # As CUDA graphs: launched one by one, kernels this short keep the GPU waiting.
    return torch.compile(network, mode="reduce-overhead")  # type: ignore[return-value]


def number_format(precision: str, device: torch.device) -> str:
    """Say what training steps compute in.

    Parameters
    ----------
    precision : str
        ``bfloat16``, ``float32``, or ``auto``: the first on a GPU and on processors with units for
        it, on which a step takes 0.75 to 0.9 of the time; the second on others, where bfloat16
        would be ten times slower.
    device : torch.device

    Returns
    -------
    str
        ``bfloat16`` or ``float32``.
    """
    if precision != AUTO:
        return precision
    if device.type == "cuda":
        return LOW
    able = torch.cpu.get_capabilities()
    return LOW if able.get("avx512_bf16") or able.get("amx_bf16") else HIGH


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute in ``bfloat16`` where torch's autocast does, or in ``float32`` as weights are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == LOW)


def label_edges(n_samples: int, samples_per_label: int, *, fs_hz: float) -> Tensor:
    """Return where the labels of a strip begin and end, in ms, shape (n_labels + 1,)."""
    n_labels = n_samples // samples_per_label
    return torch.arange(n_labels + 1) * (samples_per_label * 1000.0 / fs_hz)


def run_network(network: nn.Module, signal: Tensor, lead_index: Tensor, items: Tensor) -> Output:
    """Run a network in evaluation mode, and leave it there.

    Parameters
    ----------
    network : nn.Module
        On the device of ``signal``.
    signal : Tensor of shape (n_windows, n_samples), dtype float32
        Scaled windows.
    lead_index : Tensor of shape (n_windows,), dtype int64
        Their leads.
    items : Tensor of shape (n_items, n_leads), dtype int64
        Which windows the network sees together; each window is in one item.

    Returns
    -------
    Output
        Of shape (n_windows, n_labels, ...), dtype float32, on the same device.
    """
    network.eval()
    logits: list[Tensor] = []
    offsets: list[Tensor] = []
    with torch.inference_mode():
        for rows in evaluation_batches(items):
            out = run_batch(network, signal[rows], lead_index[rows])
            logits.append(out.logits)
            if out.offsets is not None:
                offsets.append(out.offsets)
        at = items.new_empty(len(signal))
        at[items.flatten()] = torch.arange(items.numel(), device=items.device)
        return Output(torch.cat(logits)[at], torch.cat(offsets)[at] if offsets else None)


def evaluation_batches(items: Tensor) -> Sequence[Tensor]:
    """Cut items (n_items, n_leads) into those that are evaluated at once."""
    return torch.split(items, max(1, EVALUATION_BATCH // items.shape[1]))


def run_batch(network: nn.Module, signal: Tensor, lead_index: Tensor) -> Output:
    """Run a network, which is in evaluation mode, on some items.

    Parameters
    ----------
    network : nn.Module
        On the device of ``signal``.
    signal : Tensor of shape (B, L, n_samples), dtype float32
    lead_index : Tensor of shape (B, L), dtype int64

    Returns
    -------
    Output
        Of shape (B L, n_labels, ...), dtype float32, on the same device.
    """
    cast = autocast(signal.device, LOW if signal.device.type == "cuda" else HIGH)
    with torch.inference_mode(), cast:
        out = network(signal, lead_index)
        offsets = None if out.offsets is None else out.offsets.float().flatten(0, 1)
        return Output(out.logits.float().flatten(0, 1), offsets)


def smaller_groups(items: npt.NDArray[np.int64], size: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Deal the leads of each item to groups.

    Parameters
    ----------
    items : ndarray of shape (n_items, n_leads), dtype int64
        Windows that belong together.
    size : int
        Windows of each group, at most ``n_leads``.
    seed : int
        Of the dealing, which is another for each item.

    Returns
    -------
    ndarray of shape (n_groups, size), dtype int64
        Each window is in one group; where ``size`` does not divide the leads, some are in two.
    """
    n_leads = items.shape[1]
    dealt = np.random.default_rng(seed).permuted(items, axis=1)
    n_groups = -(-n_leads // size)
    return dealt[:, np.arange(n_groups * size) % n_leads].reshape(-1, size)
