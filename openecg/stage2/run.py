"""A training and how far it has come, kept in a file across a kill."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from openecg.errors import DataError
from openecg.stage2.checkpoint import read_tensors, write_tensors
from openecg.stage2.engine import build_model
from openecg.stage2.network import Network
from openecg.stage2.settings import Setting, Training

log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass
class Run:
    """A training and how far it has come; `write_run` and `read_run` keep it across a kill.

    Attributes
    ----------
    network, optimizer
        As after the last step.
    average : AveragedModel or None
        Running mean of the weights.
    epoch, step : int
        Whole epochs done, and steps of the next one.
    total : Tensor of shape (2,)
        Loss and what to divide it by, summed over these steps.
    best_epoch, best_f1, best
        The epoch that is kept, its mean tuning F1 and its weights.
    history : list of dict
        One row per epoch.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    total: Tensor
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_f1: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def result(self) -> Network:
        """The network to use: the averaged one if there is one."""
        if self.average is None:
            return self.network
        return cast(Network, self.average.module)

    def ended(self, training: Training) -> bool:
        """Tell whether no epoch is left, or none has been better for too long."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= training.epochs or (
            training.patience is not None and waited >= training.patience
        )


def start_run(setting: Setting, *, seed: int, device: torch.device) -> Run:
    """Draw the first weights of a setting."""
    torch.manual_seed(draw_seed(seed, 0, 0))
    network = build_model(setting.model).to(device)
    groups = network.parameter_groups(setting.training.learning_rate)
    for group in groups:
        group["peak"] = group["lr"]
    optimizer = torch.optim.AdamW(groups, weight_decay=setting.training.weight_decay, fused=True)
    average = None
    if setting.training.average is not None:
        mean = running_mean(setting.training.average)
        average = AveragedModel(network, multi_avg_fn=mean, use_buffers=True)
    return Run(network, optimizer, average, torch.zeros(2, device=device))


def running_mean(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Make the rule by which weights are averaged: exponentially, in which the first soon fade.

    Parameters
    ----------
    decay : float
        Per step, approached from below: after n steps at most (1 + n) / (10 + n). Were it the same
        from the first step on, the weights before any learning would make up 4 % of the mean of
        1,600 steps at 0.998.
    """

    def update(mean: Tensors, weights: Tensors, n_averaged: Tensor | int) -> None:
        n = int(n_averaged)
        average = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
        average(mean, weights, n_averaged)

    return update


def draw_seed(seed: int, epoch: int, step: int) -> int:
    """Give each step a seed of its own, so that it does not depend on the ones before."""
    return int(np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)[0])


def weights_digest(network: Network) -> str:
    """Hash the weights of a network, which may come from a file of somebody else."""
    seen = hashlib.sha256()
    for name, value in network.state_dict().items():
        seen.update(name.encode())
        seen.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return seen.hexdigest()


def write_run(path: Path, run: Run, made_from: Mapping[str, Any]) -> None:
    """Keep a run as it stands.

    Parameters
    ----------
    path : Path
        Safetensors file to write.
    run : Run
        After a whole step. Random numbers need no keeping: see `draw_seed`.
    made_from : mapping
        All that its further course depends on; JSON values.
    """
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    if run.average is not None:
        tensors |= {f"average.{name}": v for name, v in run.average.state_dict().items()}
    for index, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    content = {
        "made_from": made_from,
        "epoch": run.epoch,
        "step": run.step,
        "total": run.total.tolist(),
        "best_epoch": run.best_epoch,
        "best_f1": run.best_f1,
        "history": run.history,
    }
    write_tensors(tensors, content, path)


def read_run(path: Path, fresh: Run, made_from: Mapping[str, Any]) -> Run:
    """Go on with a run that `write_run` kept, or with ``fresh`` if that is of another training."""
    try:
        tensors, content = read_tensors(path)
    except DataError as error:
        log.warning("started afresh: %s", error)
        return fresh
    then = content.get("made_from", {})
    now = json.loads(json.dumps(made_from))
    changed = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    if changed:
        log.warning("%s: started afresh, because of another %s", path, ", ".join(changed))
        return fresh

    def part(name: str) -> dict[str, Tensor]:
        start = f"{name}."
        return {
            k.removeprefix(start): v.to(fresh.total.device)
            for k, v in tensors.items()
            if k.startswith(start)
        }

    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    fresh.network.load_state_dict(part("network"))
    fresh.optimizer.load_state_dict(fresh.optimizer.state_dict() | {"state": state})
    if fresh.average is not None:
        fresh.average.load_state_dict(part("average"))
    log.info("%s: goes on after epoch %d, step %d", path, content["epoch"], content["step"])
    return Run(
        fresh.network,
        fresh.optimizer,
        fresh.average,
        torch.tensor(content["total"], device=fresh.total.device),
        epoch=content["epoch"],
        step=content["step"],
        best_epoch=content["best_epoch"],
        best_f1=content["best_f1"],
        best=part("best"),
        history=content["history"],
    )
