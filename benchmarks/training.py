"""Training and reading beside what one would write without this project, in one run."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import wfdb
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.simulated import DATASET, GRID, simulated_shard, write_shards
from openecg.archive import Archive
from openecg.datasets.base import load_layout
from openecg.leads import LEADS
from openecg.shards import window_rows
from openecg.stage2.batches import Data, device_data, plain_targets
from openecg.stage2.engine import AUTO, HIGH, build_model, compute_device, number_format
from openecg.stage2.network import Output
from openecg.stage2.run import start_run
from openecg.stage2.settings import Setting, resolve_setting
from openecg.stage2.train import fit
from openecg.stage2.training_set import TrainingSet, read_training_set, read_windows
from openecg.table_text import cut_left
from openecg.waves import IGNORE
from openecg.windows import WindowRule

ROOT = Path(__file__).parents[1]
SETTING = "C"
BATCH = 64
RECORDS = 41  # of 12 leads
CPU_STEPS, GPU_STEPS = 6, 200  # in an epoch of 15; on a GPU enough for the engine to compile
WARM_UP = {"cpu": 1, "cuda": 10}
FLOPS_PER_STEP = 3  # forward and backward, in forward passes
PLAIN = "plain loop, same network, float32"
BY_WFDB = "zip, parsed by wfdb"
LEAST_READING = 20  # times faster than wfdb
LEAST_SPEED_UP = {"cpu": 1.5, "cuda": 5.0}  # over a plain loop in float32
VERDICTS = {True: "kept", False: "NOT KEPT"}
BF16_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense, of NVIDIA's data sheets


class PlainWindows(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """One window at a time, as most training loops read them."""

    def __init__(self, data: Data, target: Tensor) -> None:
        self.signal, self.lead_index = data.signal.cpu().numpy(), data.lead_index.cpu().numpy()
        self.target = target.cpu().numpy()

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.signal)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scale one window and make its tensors."""
        signal = self.signal[i]
        signal = (signal - signal.mean()) / (signal.std() + 1e-6)
        return (
            torch.from_numpy(signal),
            torch.tensor(self.lead_index[i]),
            torch.from_numpy(self.target[i].astype(np.int64)),
        )


class PlainClassifier(nn.Module):
    """The network of the setting with the encoder layers of torch."""

    def __init__(self, network: nn.Module, model: dict[str, object]) -> None:
        super().__init__()
        self.stem, self.lead, self.head = network.stem, network.lead, network.head
        layer = nn.TransformerEncoderLayer(
            model["d_model"],  # type: ignore[arg-type]
            model["heads"],  # type: ignore[arg-type]
            model["feed_forward"],  # type: ignore[arg-type]
            model["dropout"],  # type: ignore[arg-type]
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer,
            model["layers"],  # type: ignore[arg-type]
            enable_nested_tensor=False,
        )

    def forward(self, signal: Tensor, lead_index: Tensor) -> Output:
        """Map [B, 1, n] to logits."""
        x = self.stem(signal).transpose(1, 2)  # type: ignore[operator]
        x = x + self.lead(lead_index)  # type: ignore[operator]
        return Output(self.head(self.encoder(x))[:, None])  # type: ignore[operator]


def training_rows() -> tuple[list[list[str]], bool]:
    """Time steps of setting C by this engine and by plain loops over a DataLoader.

    Returns
    -------
    rows : list of list of str
    kept : bool
        Whether the engine is as much faster than a plain loop as it should be.
    """
    config = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    values = resolve_setting(config["settings"], SETTING) | {"train_on": [DATASET]}
    values["training"] |= {"batch_size": BATCH, "tuning_fold": None, "keep": "last"}
    setting = Setting.from_dict(json.loads(json.dumps(values)))
    device = compute_device(torch.get_num_threads())
    n_steps = GPU_STEPS if device.type == "cuda" else CPU_STEPS
    with tempfile.TemporaryDirectory() as name:
        _, shard = simulated_shard(Path(name), records=RECORDS)
        training_set = read_training_set([shard], train_on=[DATASET], scheme="held_out")
        learnt = _repeated(training_set, BATCH * (n_steps + WARM_UP[device.type]), device)
    target = plain_targets(build_model(setting.model), learnt, setting.training)
    network = build_model(setting.model).to(device)
    plain = PlainClassifier(build_model(setting.model), setting.model).to(device)
    warm = WARM_UP[device.type]
    precision = number_format(AUTO, device)
    steps: dict[str, Callable[[], Iterator[object]]] = {
        f"this engine, {precision}": lambda: _engine_steps(learnt, setting, device, precision),
        f"this engine, {HIGH}": lambda: _engine_steps(learnt, setting, device, HIGH),
        PLAIN: lambda: _plain_steps(network, learnt, target),
        "plain loop, encoder of torch, float32": lambda: _plain_steps(plain, learnt, target),
    }
    rates = {name: BATCH / _seconds_per_step(make(), warm, device) for name, make in steps.items()}
    ours = rates[f"this engine, {precision}"]
    least = LEAST_SPEED_UP[device.type]
    kept = ours / rates[PLAIN] >= least
    head = [
        f"training {SETTING}, batch {BATCH}, {device.type}",
        "windows per second",
        "times slower",
        "limit",
        "verdict",
    ]
    rows = [head]
    for name, rate in rates.items():
        limits = [f"at least {least:g}", VERDICTS[kept]] if name == PLAIN else ["", ""]
        rows.append([name, f"{rate:,.1f}", f"{ours / rate:.2f}", *limits])
    peak = _bf16_peak(device)
    if peak:
        flops = FLOPS_PER_STEP * _forward_flops(network, learnt.signal[:1, None], device)
        rows.append(
            ["share of the bf16 peak of this card", f"{ours * flops / peak:.1%}", "", "", ""]
        )
    return rows, kept


def reading_rows(archive: Path | None) -> tuple[list[list[str]], bool]:
    """Time what stands before each training, from shards and from a zip in the layout of LUDB.

    Parameters
    ----------
    archive : Path or None
        Zip to read; a simulated one if None.

    Returns
    -------
    rows : list of list of str
    kept : bool
        Whether shards are as much faster than the zip, parsed by wfdb, as they should be.
    """
    with tempfile.TemporaryDirectory() as name:
        if archive is None:
            archive, shards = simulated_shard(Path(name), records=RECORDS)
        else:
            shards = write_shards(archive, Path(name))
        layout = load_layout("ludb")

        def parse(read: Callable[[Archive, str], object]) -> None:
            with Archive(archive) as opened:
                for record in layout.list_records(opened):
                    read(opened, record.record_id)

        def by_wfdb(opened: Archive, record_id: str) -> None:
            with tempfile.TemporaryDirectory() as folder:
                base = Path(folder) / record_id
                for ending in ("hea", "dat", *map(str.lower, LEADS)):
                    content = opened.read(f"data/{record_id}.{ending}")
                    base.with_name(f"{record_id}.{ending}").write_bytes(content)
                wfdb.rdrecord(str(base))
                for lead in LEADS:
                    wfdb.rdann(str(base), lead.lower())

        def cut(opened: Archive, record_id: str) -> None:
            record = layout.read_record(opened, record_id)
            for lead in record.leads:
                window_rows(
                    lead.signal,
                    lead.waves,
                    record_id=record_id,
                    native_fs_hz=record.fs_hz,
                    rule=WindowRule.from_dict({"rule": "cover"}),
                    **GRID,
                )

        works = {
            "shards, as a training reads them": lambda: read_training_set(
                [shards], train_on=[DATASET], scheme="held_out"
            ),
            "shards, signals only": lambda: read_windows([shards], select=lambda s, _: s != ""),
            "zip, parsed by this project": lambda: parse(layout.read_record),
            BY_WFDB: lambda: parse(by_wfdb),
            "zip, parsed, resampled and labelled": lambda: parse(cut),
        }
        spent = {name: min(_timed(work) for _ in range(3)) for name, work in works.items()}
    fastest = spent["shards, as a training reads them"]
    kept = spent[BY_WFDB] / fastest >= LEAST_READING
    rows = [[f"reading {cut_left(archive.name, 28)}", "s", "times slower", "limit", "verdict"]]
    for name, s in spent.items():
        limits = [f"at least {LEAST_READING}", VERDICTS[kept]] if name == BY_WFDB else ["", ""]
        rows.append([name, f"{s:.3f}", f"{s / fastest:.1f}", *limits])
    return rows, kept


def _repeated(training_set: TrainingSet, n: int, device: torch.device) -> Data:
    """Take windows over and over, until there are ``n``."""
    every = np.ones(len(training_set.windows.signal), dtype=bool)
    data = device_data(training_set, every, leads="one", device=device)
    rows = torch.arange(n, device=device) % len(data.signal)
    return replace(
        data,
        signal=data.signal[rows],
        lead_index=data.lead_index[rows],
        marks=data.marks.at(rows),
        items=torch.arange(n, device=device)[:, None],
    )


def _engine_steps(
    learnt: Data, setting: Setting, device: torch.device, precision: str
) -> Iterator[object]:
    run = start_run(setting, seed=0, device=device)
    nothing = replace(learnt, signal=learnt.signal[:0], items=learnt.items[:0])
    weights = torch.ones(4, device=device)
    return iter(fit(run, learnt, nothing, weights, setting=setting, seed=0, precision=precision))


def _plain_steps(network: nn.Module, data: Data, target: Tensor) -> Iterator[object]:
    device = data.signal.device
    loader = DataLoader(PlainWindows(data, target), batch_size=BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    loss_of = nn.CrossEntropyLoss(weight=torch.ones(4, device=device), ignore_index=IGNORE)
    network.train()
    for batch in loader:
        signal, lead_index, wanted = (part.to(device) for part in batch)
        logits = network(signal[:, None], lead_index[:, None]).logits
        loss = loss_of(logits.flatten(0, 2), wanted.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def _seconds_per_step(steps: Iterator[object], warm: int, device: torch.device) -> float:
    """Run the steps that warm up, and time the others."""
    for _ in range(warm):
        next(steps)
    _wait(device)
    start, n_timed = time.perf_counter(), 0
    for result in steps:
        n_timed += 1
        if isinstance(result, dict):  # the epoch is over
            n_timed -= 1
            break
    _wait(device)
    return (time.perf_counter() - start) / n_timed


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _bf16_peak(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for card, peak in BF16_PEAK.items() if card in name), None)


def _forward_flops(network: nn.Module, signal: Tensor, device: torch.device) -> float:
    """Count the floating point operations of one window."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(signal, torch.zeros(1, 1, dtype=torch.int64, device=device))
    return float(counter.get_total_flops())
