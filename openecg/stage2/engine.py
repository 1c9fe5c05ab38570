"""Where and how networks compute, the same in training and in prediction."""

import importlib
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

EVALUATION_BATCH = 64


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


def build_model(model: Mapping[str, Any]) -> nn.Module:
    """Make the network of the entry ``model`` of a setting, by the module it names."""
    module = importlib.import_module(f"openecg.stage2.{model['architecture']}")
    network: nn.Module = module.build(model)
    return network


def compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """Compile a network for a GPU; on the CPU it stays as it is. Weights are shared."""
    return torch.compile(network) if device.type == "cuda" else network  # type: ignore[return-value]


def autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 on a GPU. On CPUs without such units that is ten times slower."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def frame_logits(network: nn.Module, signal: Tensor, lead_index: Tensor) -> Tensor:
    """Run a network in evaluation mode, and leave it there.

    Parameters
    ----------
    network : nn.Module
        On the device of ``signal``.
    signal : Tensor of shape (n_windows, n_samples), dtype float32
        Scaled windows.
    lead_index : Tensor of shape (n_windows,), dtype int64
        Their leads.

    Returns
    -------
    Tensor of shape (n_windows, n_frames, n_classes), dtype float32
        Logits, on the same device.
    """
    network.eval()
    with torch.inference_mode(), autocast(signal.device):
        starts = range(0, len(signal), EVALUATION_BATCH)
        batches = [slice(start, start + EVALUATION_BATCH) for start in starts]
        return torch.cat([network(signal[b], lead_index[b]).float() for b in batches])
