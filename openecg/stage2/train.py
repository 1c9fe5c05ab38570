"""Train one setting with one seed."""

import json
import logging
import math
import resource
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from openecg.errors import ConfigError, DataError
from openecg.files import write_tsv
from openecg.provenance import code_hash
from openecg.stage2.checkpoint import Origin, read_tensors, save_checkpoint, write_tensors
from openecg.stage2.engine import autocast, build_model, compiled, compute_device, frame_logits
from openecg.stage2.losses import CLASSES, class_weights, frame_loss
from openecg.stage2.settings import Setting, Training, read_setting
from openecg.stage2.training_set import TrainingSet, read_training_set
from openecg.waves import IGNORE, OTHER

log = logging.getLogger(__name__)

RESUME = "resume.safetensors"
TUNING = ("tuning_loss", *(f"tuning_f1_{name}" for name in CLASSES[1:]), "tuning_f1_mean")
HISTORY = ("epoch", "learning_rate", "train_loss", *TUNING)


@dataclass(frozen=True)
class Data:
    """Windows on the device.

    Attributes
    ----------
    signal : Tensor of shape (n, n_samples), dtype float32
    lead_index : Tensor of shape (n,), dtype int64
    target : Tensor of shape (n, n_frames), dtype uint8
    """

    signal: Tensor
    lead_index: Tensor
    target: Tensor

    def batch(self, rows: Tensor) -> "Data":
        """Take the windows at ``rows``."""
        return Data(self.signal[rows], self.lead_index[rows], self.target[rows])


@dataclass
class Run:
    """A training and how far it has come; `write_run` and `read_run` keep it across a kill.

    Attributes
    ----------
    network, optimizer
        As after the last whole epoch.
    epoch : int
        Whole epochs done.
    best_epoch, best_f1, best
        The epoch that is kept, its mean tuning F1 and its weights.
    history : list of dict
        One row per epoch.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best_epoch: int = 0
    best_f1: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def ended(self, training: Training) -> bool:
        """Tell whether no epoch is left, or none has been better for too long."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= training.epochs or (
            training.patience is not None and waited >= training.patience
        )


def train(
    *, setting: Path, shards: list[Path], seed: int, threads: int, model: Path, history: Path
) -> None:
    """Train a setting on the training records of its data sets.

    A killed training goes on from its last whole epoch when it is started again, to the bytes it
    would have come to undisturbed: ``resume.safetensors`` beside ``model`` keeps that epoch. It is
    left aside if it comes from another setting, seed, code, machine kind or other records.

    Parameters
    ----------
    setting : Path
        File of ``write-setting``; its name without ending names the model.
    shards : list of Path
        All shards of the data sets of the setting.
    seed : int
        Of the first weights, the order of the windows and dropout.
    threads : int
        Of torch on the CPU.
    model : Path
        Safetensors file to write: the weights of the best epoch by mean P, QRS and T frame F1 on
        the tuning fold, or without one of the last epoch.
    history : Path
        TSV to write, one row per epoch.

    Raises
    ------
    ConfigError
        If the setting cannot be trained.
    DataError
        If the shards do not fit the setting.
    """
    wanted = read_setting(setting)
    training_set = read_training_set(shards, train_on=wanted.train_on)
    tuned = training_set.fold == wanted.training.tuning_fold
    if wanted.training.tuning_fold is not None and (tuned.all() or not tuned.any()):
        raise DataError(
            f"{shards[0]} and others: {tuned.sum()} of {tuned.size} training windows are in the "
            f"tuning fold {wanted.training.tuning_fold}; training and tuning both need some"
        )
    if wanted.training.batch_size > (~tuned).sum():
        raise ConfigError(
            f"{setting}: training.batch_size {wanted.training.batch_size} is more than the "
            f"{(~tuned).sum()} training windows"
        )
    device = compute_device(threads)
    origin = Origin(
        name=setting.stem,
        setting=wanted.to_dict(),
        seed=seed,
        code=code_hash(__name__, f"openecg.stage2.{wanted.model['architecture']}"),
        data=training_set.digest(),
        fs_hz=training_set.windows.fs_hz,
        n_samples=training_set.windows.signal.shape[1],
        n_frames=training_set.labels.shape[1],
    )
    unmasked = not wanted.training.mask_unannotated
    learnt = device_data(training_set, ~tuned, unmasked=unmasked, device=device)
    tuning = device_data(training_set, tuned, unmasked=unmasked, device=device)
    weights = torch.ones(len(CLASSES), device=device)
    if wanted.training.class_weights:
        try:
            weights = class_weights(learnt.target)
        except ValueError as error:
            raise DataError(f"{setting}, training.class_weights: {error}") from error
    run = start_run(wanted, seed=seed, device=device)
    log.info(
        "%s: seed %d, %d parameters, %d windows to learn from, %d to tune on, class weights %s",
        origin.name,
        seed,
        sum(p.numel() for p in run.network.parameters()),
        len(learnt.signal),
        len(tuning.signal),
        [round(weight, 3) for weight in weights.tolist()],
    )
    kept = model.parent / RESUME
    made_from = asdict(origin) | {"threads": threads, "device": device.type}
    if kept.exists():
        run = read_run(kept, run, made_from)
    for epoch in fit(run, learnt, tuning, weights, training=wanted.training, seed=seed):
        write_run(kept, run, made_from)
        log.info("%s: %s", origin.name, _words(epoch))
    write_tsv(pd.DataFrame(run.history, columns=HISTORY), history)
    save_checkpoint(run.best, origin, model)
    kept.unlink(missing_ok=True)
    log.info(
        "%s: weights of epoch %d of %d, peak memory %s",
        model,
        run.best_epoch,
        run.epoch,
        _peak_memory(device),
    )


def device_data(
    training_set: TrainingSet,
    chosen: npt.NDArray[np.bool_],
    *,
    unmasked: bool,
    device: torch.device,
) -> Data:
    """Move some windows to the device; ``unmasked`` makes what nobody annotated ``OTHER``."""
    labels = training_set.labels[chosen]
    if unmasked:
        labels = np.where(labels == IGNORE, np.uint8(OTHER), labels)
    windows = training_set.windows
    arrays = (windows.signal[chosen], windows.lead_index[chosen], labels)
    return Data(*(torch.from_numpy(array).to(device) for array in arrays))


def start_run(setting: Setting, *, seed: int, device: torch.device) -> Run:
    """Draw the first weights of a setting."""
    torch.manual_seed(epoch_seed(seed, 0))
    network = build_model(setting.model).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=setting.training.learning_rate,
        weight_decay=setting.training.weight_decay,
        fused=True,
    )
    return Run(network, optimizer)


def fit(
    run: Run, learnt: Data, tuning: Data, weights: Tensor, *, training: Training, seed: int
) -> Iterable[dict[str, float]]:
    """Train epoch by epoch, from where ``run`` stands, and yield the history row of each.

    Parameters
    ----------
    run : Run
        Brought forward in place; whole whenever a row is yielded.
    learnt, tuning : Data
        Windows to learn from, and those that pick the epoch; these may be none.
    weights : Tensor of shape (4,)
        Of the classes.
    training : Training
        How to train.
    seed : int
        Order and dropout of an epoch depend on it and on the number of the epoch only.

    Raises
    ------
    ConfigError
        If the loss is no longer finite.
    """
    device = learnt.signal.device
    network = compiled(run.network, device)
    n_batches = len(learnt.signal) // training.batch_size
    n_steps = training.epochs * n_batches
    with (
        logging_redirect_tqdm(),
        tqdm(total=n_steps, initial=run.epoch * n_batches, unit="step", disable=None) as bar,
    ):
        while not run.ended(training):
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(seed, run.epoch + 1))
            order = torch.randperm(len(learnt.signal))[: n_batches * training.batch_size]
            batches = order.to(device).view(n_batches, training.batch_size)
            network.train()
            total = torch.zeros(2, device=device)
            for step, rows in enumerate(batches, start=run.epoch * n_batches):
                factor = rate_factor(step, n_steps=n_steps, warmup=training.warmup)
                for group in run.optimizer.param_groups:
                    group["lr"] = training.learning_rate * factor
                total += train_step(
                    network, run.optimizer, learnt.batch(rows), weights, clip=training.clip
                )
                bar.update()
            if not total.isfinite().all():
                raise ConfigError(
                    f"training: the loss is {total[0].item()} in epoch {run.epoch + 1}; "
                    f"learning_rate {training.learning_rate:g} may be too high"
                )
            run.epoch += 1
            row = {
                "epoch": run.epoch,
                "learning_rate": run.optimizer.param_groups[0]["lr"],
                "train_loss": (total[0] / total[1]).item(),
                **tuning_scores(network, tuning, weights),
            }
            run.history.append(row)
            if not len(tuning.signal) or row["tuning_f1_mean"] > run.best_f1:
                run.best_epoch, run.best_f1 = run.epoch, row["tuning_f1_mean"]
                run.best = {k: v.detach().clone() for k, v in run.network.state_dict().items()}
            seconds = time.perf_counter() - started
            log.info("%.1f s, %.1f windows per second", seconds, order.numel() / seconds)
            yield row


def train_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Data,
    weights: Tensor,
    *,
    clip: float,
) -> Tensor:
    """Learn from one batch; return its summed loss and the sum of the weights in it."""
    with autocast(batch.signal.device):
        logits = network(batch.signal, batch.lead_index)
    loss, counted = frame_loss(logits, batch.target, weights)
    optimizer.zero_grad()
    # A batch in which nothing is annotated has loss 0 and teaches nothing.
    (loss / counted.clamp_min(1e-6)).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()
    return torch.stack([loss.detach(), counted])


def tuning_scores(network: nn.Module, tuning: Data, weights: Tensor) -> dict[str, float]:
    """Score windows: loss, frame F1 of P, QRS and T, and their mean; NaN without windows."""
    if not len(tuning.signal):
        return dict.fromkeys(TUNING, math.nan)
    logits = frame_logits(network, tuning.signal, tuning.lead_index)
    loss, counted = frame_loss(logits, tuning.target, weights)
    called, truth = logits.argmax(dim=2), tuning.target.long()
    pairs = (truth * len(CLASSES) + called)[truth != IGNORE]
    table = torch.bincount(pairs, minlength=len(CLASSES) ** 2).view(len(CLASSES), -1).cpu().numpy()
    # 2 TP / (2 TP + FP + FN), and 0 where a class is neither there nor called.
    f1 = 2 * table.diagonal() / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
    values = [(loss / counted).item(), *f1[1:].tolist(), float(f1[1:].mean())]
    return dict(zip(TUNING, values, strict=True))


def rate_factor(step: int, *, n_steps: int, warmup: float) -> float:
    """Learning rate of a step, relative to its peak.

    It rises over the first ``warmup`` of the steps, by the same amount each, and falls to 0 along
    a cosine. The first step already learns; in the reference system a whole epoch did not.
    """
    rising = round(warmup * n_steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(n_steps - rising, 1)))


def epoch_seed(seed: int, epoch: int) -> int:
    """Give each epoch a seed of its own, so that it does not depend on the ones before."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0])


def write_run(path: Path, run: Run, made_from: Mapping[str, Any]) -> None:
    """Keep a run as it stands.

    Parameters
    ----------
    path : Path
        Safetensors file to write.
    run : Run
        After a whole epoch. Random numbers need no keeping: see `epoch_seed`.
    made_from : mapping
        All that its further course depends on; JSON values.
    """
    tensors = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    for index, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    content = {
        "made_from": made_from,
        "epoch": run.epoch,
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
        device = next(fresh.network.parameters()).device
        start = f"{name}."
        return {
            k.removeprefix(start): v.to(device) for k, v in tensors.items() if k.startswith(start)
        }

    state: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    fresh.network.load_state_dict(part("network"))
    fresh.optimizer.load_state_dict(fresh.optimizer.state_dict() | {"state": state})
    log.info("%s: goes on after epoch %d", path, content["epoch"])
    return Run(
        fresh.network,
        fresh.optimizer,
        epoch=content["epoch"],
        best_epoch=content["best_epoch"],
        best_f1=content["best_f1"],
        best=part("best"),
        history=content["history"],
    )


def _words(row: Mapping[str, float]) -> str:
    """Write a history row on one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())


def _peak_memory(device: torch.device) -> str:
    """Return the largest memory of this process so far, of the GPU too if it has one."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    if device.type == "cpu":
        return f"{host:.2f} GiB"
    return f"{host:.2f} GiB, GPU {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"
