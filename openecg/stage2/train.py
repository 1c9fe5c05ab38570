"""Train one setting with one seed."""

import logging
import math
import resource
import signal as signals
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

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
from openecg.selection import learnt_rows, tuning_fold
from openecg.stage2.batches import Batch, Data, device_data, make_batch, plain_targets
from openecg.stage2.checkpoint import Origin, save_checkpoint
from openecg.stage2.engine import (
    autocast,
    compiled,
    compute_device,
    number_format,
    run_network,
)
from openecg.stage2.losses import (
    CLASSES,
    class_counts,
    label_loss,
    offset_loss,
    touch_loss,
    weights_of_counts,
)
from openecg.stage2.network import Network
from openecg.stage2.run import Run, draw_seed, read_run, start_run, weights_digest, write_run
from openecg.stage2.settings import ANY_LEADS, BEST, Setting, Training, read_setting
from openecg.stage2.streamed import MIB, StreamedData, streamed_data, training_bytes
from openecg.stage2.targets import OTHER_OR_P
from openecg.stage2.training_set import MARKS, FoundWindows, check_datasets, read_training_set
from openecg.waves import OTHER, P

log = logging.getLogger(__name__)

RESUME = "resume.safetensors"
MEMORY_MB = 1500  # a third of what a training then takes; 150,000 leads of 10 s at 250 Hz
SAVE_S = 120.0  # between two states that a kill without warning can fall back to
STOPPED = 75  # exit status, EX_TEMPFAIL: try again
TUNING = ("tuning_loss", *(f"tuning_f1_{name}" for name in CLASSES[1:]), "tuning_f1_mean")
HISTORY = ("epoch", "learning_rate", "train_loss", *TUNING)


def train(
    *,
    setting: Path,
    shards: list[Path],
    scheme: str,
    seed: int,
    threads: int,
    precision: str,
    model: Path,
    history: Path,
    memory_mb: int = MEMORY_MB,
) -> None:
    """Train a setting on the records of its data sets that a scheme learns from.

    A stopped training goes on where it stopped when it is started again, to the bytes it would
    have come to undisturbed: ``resume.safetensors`` beside ``model`` keeps its state. On SIGTERM or
    SIGUSR1, as a cluster sends them before it takes a node away, the step at hand, or else the
    first one, is the last, and the exit status is 75; after a kill without warning, a state at most
    two minutes or an epoch old. It is left aside if it comes from another setting, seed, code,
    machine kind or other records.

    Parameters
    ----------
    setting : Path
        File of ``write-setting``; its name without ending names the model.
    shards : list of Path
        All shards of the data sets of the setting.
    scheme : str
        Which of their records to learn from; see `openecg.selection`.
    seed : int
        Of the first weights, the order of the windows, dropout and augmentation.
    threads : int
        Of torch on the CPU.
    precision : str
        ``bfloat16``, ``float32`` or ``auto``; see `openecg.stage2.engine.number_format`.
    model : Path
        Safetensors file to write: the weights of the best epoch by mean P, QRS and T frame F1 on
        the tuning fold, or those of the last epoch.
    history : Path
        TSV to write, one row per epoch.
    memory_mb : int
        MiB that the windows may take. Where they take more, they stay in their shards and are read
        in each epoch, row groups in random order, shuffled inside a buffer of half this size.

    Raises
    ------
    ConfigError
        If the setting cannot be trained.
    DataError
        If the shards do not fit the setting.
    SystemExit
        On SIGTERM or SIGUSR1.
    """
    with stop_requests() as stop:
        wanted = read_setting(setting)
        training = wanted.training
        device = compute_device(threads)
        precision = number_format(precision, device)
        try:
            learnt, tuning, seen = read_data(
                shards, wanted, scheme=scheme, memory_mb=memory_mb, device=device
            )
        except ValueError as error:
            raise error if isinstance(error, DataError) else ConfigError(str(error)) from error
        if training.batch_size > learnt.n_items:
            raise ConfigError(
                f"{setting}: training.batch_size {training.batch_size} is more than the "
                f"{learnt.n_items} {'windows' if training.leads == ANY_LEADS else 'leads'} to "
                "learn from"
            )
        run = start_run(wanted, seed=seed, device=device)
        origin = Origin(
            name=setting.stem,
            setting=wanted.to_dict(),
            scheme=scheme,
            seed=seed,
            code=code_hash(__name__, f"openecg.stage2.{wanted.model['architecture']}"),
            data=seen.digest,
            fs_hz=seen.fs_hz,
            n_samples=seen.n_samples,
            precision=precision,
            buffer=seen.buffer,
        )
        if run.network.layout is not None:
            origin.setting["model"]["layout"] = run.network.layout
        weights = torch.ones(len(CLASSES), device=device)
        if training.class_weights:
            try:
                counts = torch.zeros(len(CLASSES), dtype=torch.int64, device=device)
                for block in learnt.blocks():
                    counts += class_counts(plain_targets(run.network, block, training))
                weights = weights_of_counts(counts)
            except ValueError as error:
                raise DataError(f"{setting}, training.class_weights: {error}") from error
        log.info(
            "%s: %s, seed %d, %s, %d parameters, %d leads to learn from, %d to tune on, "
            "class weights %s",
            origin.name,
            scheme,
            seed,
            precision,
            sum(p.numel() for p in run.network.parameters()),
            learnt.n_windows,
            tuning.n_windows,
            [round(weight, 3) for weight in weights.tolist()],
        )
        kept = model.parent / RESUME
        made_from = asdict(origin) | {"threads": threads, "device": device.type}
        made_from["first_weights"] = weights_digest(run.network)
        if kept.exists():
            run = read_run(kept, run, made_from)
        saved = time.monotonic()
        for row in fit(
            run, learnt, tuning, weights, setting=wanted, seed=seed, precision=precision
        ):
            if row:
                log.info("%s: %s", origin.name, _words(row))
            elif not stop and time.monotonic() - saved < SAVE_S:
                continue
            write_run(kept, run, made_from)
            saved = time.monotonic()
            if stop:
                log.warning(
                    "%s: stopped by %s after step %d of epoch %d; kept in %s",
                    origin.name,
                    signals.Signals(stop[0]).name,
                    run.step,
                    run.epoch + 1,
                    kept,
                )
                raise SystemExit(STOPPED)
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


@dataclass(frozen=True)
class Seen:
    """What a training sees.

    Attributes
    ----------
    digest : str
        Hash of all its windows.
    fs_hz : float
        Their sampling rate in Hz.
    n_samples : int
        Samples of each.
    buffer : int
        How many windows are shuffled together; 0: all.
    """

    digest: str
    fs_hz: float
    n_samples: int
    buffer: int


def read_data(
    shards: list[Path], setting: Setting, *, scheme: str, memory_mb: int, device: torch.device
) -> tuple[Data | StreamedData, Data | StreamedData, Seen]:
    """Find the windows to learn from and those that pick the epoch, and read them if they fit.

    Parameters
    ----------
    shards, scheme, memory_mb
        As for `train`.
    setting : Setting
    device : torch.device

    Raises
    ------
    DataError
        If the shards do not fit the setting.
    ValueError
        If there is no such scheme.
    """
    training = setting.training

    def tuned_of(fold: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        left_out = training.tuning_fold
        tuned: npt.NDArray[np.bool_] = np.zeros(fold.size, dtype=bool)
        if left_out is None:
            return tuned
        tuned = fold == tuning_fold(scheme, left_out)
        if tuned.all() or not tuned.any():
            raise DataError(
                f"{shards[0]} and others: {tuned.sum()} of {tuned.size} training windows are in "
                f"the tuning fold {left_out}; training and tuning both need some"
            )
        return tuned

    n_windows, each = training_bytes(shards, scheme)
    leads = training.leads
    if n_windows * each <= memory_mb * MIB:
        training_set = read_training_set(shards, train_on=setting.train_on, scheme=scheme)
        tuned, windows = tuned_of(training_set.fold), training_set.windows
        seen = Seen(training_set.digest(), windows.fs_hz, windows.signal.shape[1], 0)
        return (
            device_data(training_set, ~tuned, leads=leads, device=device),
            device_data(training_set, tuned, leads=leads, device=device),
            seen,
        )
    found = FoundWindows(
        shards, select=lambda split, fold: learnt_rows(scheme, split, fold), columns=MARKS
    )
    check_datasets(found.rows, setting.train_on, shards)
    tuned = tuned_of(found.rows["fold"].to_numpy().astype(np.int64))
    buffer = max(1, memory_mb * MIB // (2 * each))
    log.info(
        "%d windows take %d MiB, %d are allowed: read from their shards, %d at a time",
        n_windows,
        n_windows * each // MIB,
        memory_mb,
        buffer,
    )
    return (
        streamed_data(found, ~tuned, leads=leads, buffer=buffer, device=device),
        streamed_data(found, tuned, leads=leads, buffer=buffer, device=device),
        Seen(found.digest(), found.fs_hz, found.n_samples, buffer),
    )


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the signals that ask to stop, instead of being ended by them."""
    requests: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        requests.append(number)

    before = {number: signals.signal(number, note) for number in (signals.SIGTERM, signals.SIGUSR1)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signals.signal(number, handler)


def fit(
    run: Run,
    learnt: Data | StreamedData,
    tuning: Data | StreamedData,
    weights: Tensor,
    *,
    setting: Setting,
    seed: int,
    precision: str,
) -> Iterable[dict[str, float] | None]:
    """Train from where ``run`` stands; yield None after a step, and a history row after an epoch.

    Parameters
    ----------
    run : Run
        Brought forward in place; whole whenever something is yielded.
    learnt, tuning : Data or StreamedData
        Windows to learn from, and those that pick the epoch; these may be none.
    weights : Tensor of shape (4,)
        Of the classes.
    setting : Setting
        How to train.
    seed : int
        What is drawn for a step depends on it and on the numbers of epoch and step only.
    precision : str
        ``bfloat16`` or ``float32``.

    Raises
    ------
    ConfigError
        If the loss is no longer finite.
    """
    training = setting.training
    n_batches = learnt.n_items // training.batch_size
    n_steps = training.epochs * n_batches
    varied = training.leads == ANY_LEADS
    done = run.epoch * n_batches + run.step
    network = compiled(run.network, run.total.device, n_steps=n_steps - done, varied=varied)

    def batches() -> Iterator[Batch]:  # where it ends, the last buffer is let go
        for data, items in learnt.batches(training.batch_size, first=run.step):
            torch.manual_seed(draw_seed(seed, run.epoch + 1, run.step + 1))
            yield make_batch(data, items, run.network, setting)

    def rate(step: int) -> float:
        return rate_factor(step, n_steps=n_steps, warmup=training.warmup)

    with (
        logging_redirect_tqdm(),
        tqdm(total=n_steps, initial=done, unit="step", disable=None) as bar,
    ):
        while not run.ended(training):
            started = time.perf_counter()
            torch.manual_seed(draw_seed(seed, run.epoch + 1, 0))
            network.train()
            n_windows = 0
            for batch in batches():
                for group in run.optimizer.param_groups:
                    group["lr"] = group["peak"] * rate(run.epoch * n_batches + run.step)
                run.total += train_step(
                    network, run.optimizer, batch, weights, training, precision=precision
                )
                if run.average is not None:
                    run.average.update_parameters(run.network)
                run.step += 1
                n_windows += batch.target.shape[0]
                bar.update()
                yield None
            if not run.total.isfinite().all():
                raise ConfigError(
                    f"training: the loss is {run.total[0].item()} in epoch {run.epoch + 1}; "
                    f"learning_rate {training.learning_rate:g} may be too high"
                )
            row = {
                "epoch": run.epoch + 1,
                "learning_rate": training.learning_rate * rate((run.epoch + 1) * n_batches - 1),
                "train_loss": (run.total[0] / run.total[1]).item(),
                **tuning_scores(run.result, tuning, weights, training),
            }
            run.epoch, run.step = run.epoch + 1, 0
            run.total.zero_()
            run.history.append(row)
            if training.keep != BEST or row["tuning_f1_mean"] > run.best_f1:
                run.best_epoch, run.best_f1 = run.epoch, row["tuning_f1_mean"]
                run.best = {k: v.detach().clone() for k, v in run.result.state_dict().items()}
            seconds = time.perf_counter() - started
            log.info("%.1f s, %.1f windows per second", seconds, n_windows / seconds)
            yield row


def train_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    weights: Tensor,
    training: Training,
    *,
    precision: str,
) -> Tensor:
    """Learn from one batch; return its summed label loss and what to divide it by."""
    with autocast(batch.signal.device, precision):
        out = network(batch.signal, batch.lead_index)
    logits = out.logits.flatten(0, 1)
    label, counted = label_loss(
        logits,
        batch.target,
        weights,
        focal_gamma=training.focal_gamma,
        soft=training.soft_labels,
    )
    # A batch in which nothing is annotated has loss 0 and teaches nothing.
    loss = label / counted.clamp_min(1e-6)
    if batch.offsets is not None:
        far, n_known = offset_loss(out.offsets.flatten(0, 1), batch.offsets)
        loss = loss + training.offset_weight * far / n_known.clamp_min(1)
    if training.touch_weight:
        touching, n_pairs = touch_loss(logits, batch.target)
        loss = loss + training.touch_weight * touching / n_pairs.clamp_min(1)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), training.clip)
    optimizer.step()
    return torch.stack([label.detach(), counted.detach()])


def tuning_scores(
    network: Network, tuning: Data | StreamedData, weights: Tensor, training: Training
) -> dict[str, float]:
    """Score windows: loss, F1 of P, QRS and T labels, and their mean; NaN without windows."""
    if not tuning.n_windows:
        return dict.fromkeys(TUNING, math.nan)
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    losses = []  # as floats: tensors kept from block to block fragment the heap
    for block in tuning.blocks():
        *sums, pairs = _block_scores(network, block, weights, training)
        losses.append(sums)
        table += pairs
    loss, counted = (torch.tensor(parts).sum() for parts in zip(*losses, strict=True))
    # 2 TP / (2 TP + FP + FN), and 0 where a class is neither there nor called.
    f1 = 2 * table.diagonal() / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
    values = [(loss / counted).item(), *f1[1:].tolist(), float(f1[1:].mean())]
    return dict(zip(TUNING, values, strict=True))


def _block_scores(
    network: Network, block: Data, weights: Tensor, training: Training
) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Give loss, what to divide it by, and counts of true and called classes; keep no tensor."""
    logits = run_network(network, block.signal, block.lead_index, block.items).logits
    target = plain_targets(network, block, training)
    loss, counted = label_loss(logits, target, weights, focal_gamma=0, soft=())
    called, truth = logits.argmax(dim=2), target.long()
    truth = truth.where((target != OTHER_OR_P) | (called == P), OTHER)  # a P there is no error
    n_classes = len(CLASSES)
    pairs = (truth * n_classes + called)[truth < n_classes]
    table = torch.bincount(pairs, minlength=n_classes**2).view(n_classes, n_classes)
    return loss.item(), counted.item(), table.cpu().numpy()


def rate_factor(step: int, *, n_steps: int, warmup: float) -> float:
    """Learning rate of a step, relative to its peak.

    It rises over the first ``warmup`` of the steps, by the same amount each, and falls to 0 along
    a cosine. The first step already learns; in the reference system a whole epoch did not.
    """
    rising = round(warmup * n_steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(n_steps - rising, 1)))


def _words(row: Mapping[str, float]) -> str:
    """Write a history row on one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())


def _peak_memory(device: torch.device) -> str:
    """Return the largest memory of this process so far, of the GPU too if it has one."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    if device.type == "cpu":
        return f"{host:.2f} GiB"
    return f"{host:.2f} GiB, GPU {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"
