import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv
from openecg.stage2 import train as module
from openecg.stage2.batches import Data
from openecg.stage2.checkpoint import load_checkpoint
from openecg.stage2.network import Output
from openecg.stage2.settings import Setting
from openecg.stage2.targets import stack_marks
from openecg.stage2.train import rate_factor, train, tuning_scores
from tests.unit.made_up_shards import (
    UNET,
    marked,
    setting_values,
    shard_rows,
    write_rows,
    write_setting_file,
)

pytestmark = pytest.mark.usefixtures("torch_as_it_was")


def trained(
    folder: Path,
    rows: list[dict[str, Any]] | None = None,
    *,
    seed: int = 0,
    scheme: str = "held_out",
    threads: int = 1,
    precision: str = "float32",
    memory_mb: int = 1500,
    **training: Any,
) -> tuple[bytes, bytes]:
    """Train in a folder; return the bytes of model and history."""
    folder.mkdir(exist_ok=True)
    shard = write_rows(rows or shard_rows(), folder / "part-000.parquet")
    setting = write_setting_file(folder, **training)
    model, history = folder / "model.safetensors", folder / "history.tsv"
    train(
        setting=setting,
        shards=[shard],
        scheme=scheme,
        seed=seed,
        threads=threads,
        precision=precision,
        model=model,
        history=history,
        memory_mb=memory_mb,
    )
    return model.read_bytes(), history.read_bytes()


def test_it_learns(tmp_path: Path) -> None:
    trained(tmp_path, epochs=30)
    history = read_tsv(tmp_path / "history.tsv")
    assert list(history) == [
        *("epoch", "learning_rate", "train_loss", "tuning_loss"),
        *("tuning_f1_P", "tuning_f1_QRS", "tuning_f1_T", "tuning_f1_mean"),
    ]
    assert history["epoch"].tolist() == list(range(1, 31))
    assert history["tuning_f1_mean"].iloc[-1] > 0.9
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("history.tsv", "model.safetensors", "part-000.parquet", "tiny.yaml")
    ]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_equal_seeds_give_equal_bytes_and_others_do_not(
    tmp_path: Path, threads: int, precision: str
) -> None:
    how: dict[str, Any] = {"threads": threads, "precision": precision}
    first = trained(tmp_path / "a", **how)
    assert first == trained(tmp_path / "b", **how)
    assert first[1] != trained(tmp_path / "c", seed=1, **how)[1]


@pytest.mark.parametrize("memory_mb", [1500, 1])
def test_records_outside_the_training_split_are_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_mb: int
) -> None:
    monkeypatch.setattr(module, "MIB", 2**14)  # of 1 MiB the windows take more, of 1500 they do not
    held_out = shard_rows(split="validation", records=3, seed=1)
    clean = trained(tmp_path / "a", [*shard_rows(), *held_out], memory_mb=memory_mb)
    for row in held_out:
        row |= {"signal": np.full(7, np.nan), "labels": np.full(9, 200), "lead_index": 99}
        row |= {"fs_hz": -1.0, "fold": 0, "wave_kind": [9], "on_ms": [-5.0], "off_ms": []}
    around = [*held_out, *shard_rows(), *held_out]
    nonsense = trained(tmp_path / "b", around, memory_mb=memory_mb)
    assert clean == nonsense
    # The test can tell: the same nonsense in training rows would not go unnoticed.
    for row in held_out:
        row["split"] = "train"
    with pytest.raises(DataError):
        trained(tmp_path / "c", [*shard_rows(), *held_out], memory_mb=memory_mb)


ALL_AT_ONCE = {
    **{"model": UNET, "leads": "any", "average": 0.9, "offset_weight": 0.1, "touch_weight": 0.1},
    "batch_size": 2,
    "augmentation": {"noise": 0.1, "time_scale": [0.8, 1.25], "operations": 2},
}
STEPS = {"best": 4, "last": 5, "everything": 4}


def setting_of(case: str) -> dict[str, Any]:
    return {
        "best": {},
        "last": {"tuning_fold": None, "keep": "last"},
        "everything": ALL_AT_ONCE,
    }[case]


@pytest.mark.parametrize("case", STEPS)
@pytest.mark.parametrize("after", [0, 1, 6, 9])
def test_a_stopped_training_ends_in_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, after: int
) -> None:
    scores = module.tuning_scores

    def scored(*args: Any) -> dict[str, float]:
        """Take the loss as the score, so that the first epoch, and not the last, is the best."""
        row = scores(*args)
        return row | {"tuning_f1_mean": row["tuning_loss"]}

    monkeypatch.setattr(module, "tuning_scores", scored)
    undisturbed = trained(tmp_path / "a", **setting_of(case))
    steps = 0
    step = module.train_step

    def stopped(*args: Any, **more: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == after + 1:
            signal.raise_signal(signal.SIGTERM)
        return step(*args, **more)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_step", stopped)
        with pytest.raises(SystemExit) as left:
            trained(tmp_path / "b", **setting_of(case))
    assert left.value.code == module.STOPPED
    assert signal.getsignal(signal.SIGTERM) == handler
    assert steps == after + 1
    assert (tmp_path / "b" / "resume.safetensors").exists()
    ran: list[int] = []
    monkeypatch.setattr(module, "train_step", lambda *a, **k: ran.append(1) or step(*a, **k))
    assert trained(tmp_path / "b", **setting_of(case)) == undisturbed
    assert len(ran) == 3 * STEPS[case] - steps
    assert not (tmp_path / "b" / "resume.safetensors").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_training_asked_to_stop_while_it_reads_stops_after_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    undisturbed = trained(tmp_path / "a")
    read, step, ran = module.read_data, module.train_step, list[int]()

    def asked(*args: Any, **more: Any) -> Any:
        signal.raise_signal(number)
        return read(*args, **more)

    monkeypatch.setattr(module, "train_step", lambda *a, **k: ran.append(1) or step(*a, **k))
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_data", asked)
        with pytest.raises(SystemExit) as left:
            trained(tmp_path / "b")
    assert left.value.code == module.STOPPED
    assert len(ran) == 1
    assert (tmp_path / "b" / "resume.safetensors").exists()
    assert trained(tmp_path / "b") == undisturbed


def test_what_is_left_to_train_decides_on_compiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[dict[str, Any]]()

    def note(network: Any, device: Any, **options: Any) -> Any:
        asked.append(options)
        return network

    monkeypatch.setattr(module, "compiled", note)
    trained(tmp_path / "a")
    with monkeypatch.context() as patch:
        step = module.train_step

        def last(*args: Any, **options: Any) -> Any:
            signal.raise_signal(signal.SIGTERM)
            return step(*args, **options)

        patch.setattr(module, "train_step", last)
        with pytest.raises(SystemExit):
            trained(tmp_path / "b")
    trained(tmp_path / "b")
    assert asked[0]["n_steps"] == asked[1]["n_steps"] == asked[2]["n_steps"] + 1
    assert not any(options["varied"] for options in asked)


RULES = Path(__file__).parents[2] / "rules" / "train.smk"
SHELL = re.compile(r'^ {8}"(.*)"$', re.M)
LATE = """\
import signal, sys, time
asked = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: asked.append(number))
print("ready", flush=True)
while not asked:
    time.sleep(0.01)
time.sleep(0.2)
print("saved", flush=True)
sys.exit(75)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_whole_shell_line_of_a_training_lets_it_save(
    tmp_path: Path, number: signal.Signals
) -> None:
    rule = RULES.read_text().partition("\nrule train:")[2]
    line = "".join(SHELL.findall(rule.partition("    shell:")[2]))
    before, _, rest = line.partition("python -m openecg train")
    after = rest[rest.index("2>&1") :].replace("{log:q}", "log.txt")
    (tmp_path / "late.py").write_text(LATE)
    shell = f"set -euo pipefail; {before}{shlex.quote(sys.executable)} late.py {after}"
    run = subprocess.Popen(["bash", "-c", shell], cwd=tmp_path, start_new_session=True)
    log, latest = tmp_path / "log.txt", time.monotonic() + 60
    try:
        while not (log.exists() and log.read_text()):
            assert run.poll() is None
            assert time.monotonic() < latest
            time.sleep(0.01)
        os.killpg(run.pid, number)
        assert run.wait(timeout=30) == module.STOPPED
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert log.read_text() == "ready\nsaved\n"


def test_a_killed_training_goes_on_from_a_whole_epoch_or_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = trained(tmp_path / "a")
    caplog.set_level(logging.INFO)
    step, steps = module.train_step, 0

    def killed(*args: Any, **more: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps > 6:
            raise KeyboardInterrupt
        return step(*args, **more)

    for save_s, repeated in ((1e9, 2), (0.0, 0)):
        steps = 0
        with monkeypatch.context() as patch:
            patch.setattr(module, "SAVE_S", save_s)
            patch.setattr(module, "train_step", killed)
            with pytest.raises(KeyboardInterrupt):
                trained(tmp_path / "b")
        assert trained(tmp_path / "b") == undisturbed
        assert f"goes on after epoch 1, step {2 - repeated}" in caplog.text


@pytest.mark.parametrize("change", ["seed", "setting", "data", "threads", "precision", "damage"])
def test_what_another_training_left_is_put_aside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: str,
) -> None:
    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "a")
    kept = tmp_path / "a" / "resume.safetensors"
    if change == "damage":
        kept.write_bytes(kept.read_bytes()[:-9])
    other: dict[str, Any] = {"seed": 1, "threads": 2, "precision": "bfloat16"}
    how = {name: value for name, value in other.items() if name == change}
    training = {"learning_rate": 0.02} if change == "setting" else {}
    rows = shard_rows(seed=5) if change == "data" else shard_rows()
    with caplog.at_level(logging.WARNING):
        resumed = trained(tmp_path / "a", rows, **how, **training)
    word = "not a readable" if change == "damage" else "because of another"
    assert "started afresh" in caplog.text
    assert word in caplog.text
    assert change == "damage" or change in caplog.text.partition("because of another")[2]
    assert resumed == trained(tmp_path / "b", rows, **how, **training)


def test_the_best_epoch_is_kept_and_patience_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    seen = []

    def scored(network: torch.nn.Module, *_: Any) -> dict[str, float]:
        seen.append({k: v.clone() for k, v in network.state_dict().items()})
        return dict.fromkeys(module.TUNING, next(scores))

    monkeypatch.setattr(module, "tuning_scores", scored)
    trained(tmp_path, epochs=5, patience=2)
    assert len(seen) == 4
    network, _ = load_checkpoint(tmp_path / "model.safetensors")
    assert all(torch.equal(v, seen[1][k]) for k, v in network.state_dict().items())


def test_the_tuning_fold_is_not_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the choice of the epoch, the signals of the tuning fold change nothing."""
    rows = shard_rows()
    learnt = trained(tmp_path / "a", rows, epochs=1)[0]
    for row in rows:
        if row["fold"] == 0:
            row["signal"] = row["signal"][::-1]
    assert weights_of(trained(tmp_path / "b", rows, epochs=1)[0]) == weights_of(learnt)
    all_in = trained(tmp_path / "c", rows, epochs=1, tuning_fold=None, keep="last")[0]
    assert weights_of(all_in) != weights_of(learnt)


def weights_of(model: bytes) -> bytes:
    return model[8 + int.from_bytes(model[:8], "little") :]


def test_unannotated_frames_count_only_when_unmasked(tmp_path: Path) -> None:
    training = {"epochs": 1, "tuning_fold": None, "keep": "last", "class_weights": False}
    rows = shard_rows()
    masked = trained(tmp_path / "a", rows, **training)[0]
    unmasked = trained(tmp_path / "b", rows, mask_unannotated=False, **training)[0]
    assert weights_of(unmasked) != weights_of(masked)


def test_schemes_learn_from_the_records_they_do_not_score(tmp_path: Path) -> None:
    training = {"epochs": 1, "tuning_fold": None, "keep": "last"}
    rows = [*shard_rows(), *shard_rows(split="test", records=5, seed=1)]

    def weights(name: str, scheme: str) -> bytes:
        return weights_of(trained(tmp_path / name, rows, scheme=scheme, **training)[0])

    before = {scheme: weights("a", scheme) for scheme in ("held_out", "tuning2", "all2")}
    for row in rows:
        if row["fold"] == 2:
            row["signal"] = row["signal"][::-1]
    assert weights("b", "tuning2") == before["tuning2"]
    assert weights("b", "all2") == before["all2"]
    assert weights("b", "held_out") != before["held_out"]
    for row in rows:
        if row["split"] == "test":
            row["signal"] = row["signal"] ** 2
    assert weights("c", "tuning2") == before["tuning2"]
    assert weights("c", "all2") != before["all2"]


def strip(waves: list[tuple[int, float, float]], *, n_samples: int) -> Data:
    """Give one flat lead with these waves, in a rhythm with P waves."""
    columns = marked(waves)
    marks = stack_marks(
        *[columns[name] for name in ("wave_kind", "on_ms", "peak_ms", "off_ms")],
        n_waves=np.array([len(waves)]),
        native_fs_hz=np.array([500.0]),
        native_samples=np.array([400]),
        has_p=np.ones(1, dtype=bool),
    )
    one = torch.zeros(1, dtype=torch.int64)
    return Data(torch.zeros(1, n_samples), one, marks, one[:, None], 250.0)


def test_tuning_scores_are_f1_over_annotated_labels() -> None:
    called = torch.tensor([[0, 1, 1, 2, 3, 3, 2]])
    data = strip(
        [(1, 20.0, 38.0), (2, 40.0, 78.0), (3, 80.0, 98.0), (2, 110.0, 118.0)], n_samples=35
    )
    training = Setting.from_dict(setting_values()).training
    scores = tuning_scores(Echo(called), data, torch.ones(4), training)
    # Of the true labels 0 1 2 2 3 0, and the last one, which nobody annotated, the first is not
    # annotated either.
    assert scores["tuning_f1_P"] == pytest.approx(2 / 3)
    assert scores["tuning_f1_QRS"] == pytest.approx(2 / 3)
    assert scores["tuning_f1_T"] == pytest.approx(2 / 3)
    assert scores["tuning_f1_mean"] == pytest.approx(2 / 3)


def test_where_no_p_is_marked_a_p_costs_no_tuning_score_and_a_qrs_does() -> None:
    data = strip([(2, 0.0, 18.0), (2, 80.0, 98.0)], n_samples=25)
    training = Setting.from_dict(setting_values()).training
    for called, f1 in (([2, 1, 1, 0, 2], 1.0), ([2, 2, 1, 0, 2], 0.8)):
        scores = tuning_scores(Echo(torch.tensor([called])), data, torch.ones(4), training)
        assert scores["tuning_f1_QRS"] == pytest.approx(f1)
        assert scores["tuning_f1_P"] == 0


class Echo(torch.nn.Module):
    def __init__(self, called: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.functional.one_hot(called, 4).float()

    samples_per_label = 5

    def forward(self, signal: torch.Tensor, lead_index: torch.Tensor) -> Output:
        return Output(self.logits[None])


def test_the_rate_rises_from_the_first_step_and_falls_to_zero() -> None:
    factors = np.array([rate_factor(s, n_steps=200, warmup=0.05) for s in range(201)])
    assert factors[0] == 0.1
    np.testing.assert_allclose(np.diff(factors[:10]), 0.1)
    assert factors[10] == factors.max() == 1
    assert np.all(np.diff(factors[10:]) < 0)
    assert factors[105] == pytest.approx(0.5)
    assert factors[200] == pytest.approx(0)
    assert rate_factor(0, n_steps=3, warmup=0) == 1


@pytest.mark.parametrize(
    ("training", "error", "words"),
    [
        ({"batch_size": 17}, ConfigError, "batch_size 17 is more than the 16 leads to learn from"),
        ({"tuning_fold": 7}, DataError, "0 of 20 training windows are in the tuning fold 7"),
        ({"learning_rate": 1e38}, ConfigError, "loss is nan in epoch 1; learning_rate 1e.38"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path, training: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        trained(tmp_path, **training)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_class_without_frames_cannot_be_weighted(tmp_path: Path) -> None:
    rows = shard_rows()
    for row in rows:
        kept = np.array(row["wave_kind"]) != 1
        for name in ("wave_kind", "on_ms", "peak_ms", "off_ms"):
            row[name] = row[name][kept]
    with pytest.raises(DataError, match=r"tiny.yaml, training.class_weights: .* P 0"):
        trained(tmp_path, rows)
    trained(tmp_path, rows, class_weights=False, epochs=1)


@pytest.mark.parametrize(("able", "auto"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_is_part_of_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool, auto: str
) -> None:
    results = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    for precision in ("auto", "float32", "bfloat16"):
        folder = tmp_path / precision
        folder.mkdir()
        train(
            setting=write_setting_file(folder, epochs=1),
            shards=[write_rows(shard_rows(), folder / "shard")],
            scheme="held_out",
            seed=0,
            threads=1,
            precision=precision,
            model=folder / "model",
            history=folder / "history",
        )
        results[precision] = weights_of((folder / "model").read_bytes())
    if not torch.cuda.is_available():
        assert results["auto"] == results[auto]
    assert results["bfloat16"] != results["float32"]


LEADS = 30  # more rows than a row group holds
STREAMED: dict[str, dict[str, Any]] = {
    "one lead": {"tuning_fold": 0, "epochs": 2},
    "any leads": ALL_AT_ONCE | {"batch_size": 3, "epochs": 2},
}


def streamed(folder: Path, monkeypatch: pytest.MonkeyPatch, **training: Any) -> tuple[bytes, bytes]:
    """Train on three shards, of which a budget of 1 MiB holds a part."""
    monkeypatch.setattr(module, "MIB", 2**18)
    folder.mkdir(exist_ok=True)
    rows = shard_rows(records=LEADS, leads=12)
    for row in rows:
        row["lead_index"] = int(row["lead"].removeprefix("V")) - 1
    third = len(rows) // 3
    shards = [
        write_rows(rows[i * third : (i + 1) * third], folder / f"part-{i}.parquet")
        for i in range(3)
    ]
    model, history = folder / "model.safetensors", folder / "history.tsv"
    train(
        setting=write_setting_file(folder, **training),
        shards=shards,
        scheme="held_out",
        seed=0,
        threads=1,
        precision="auto",
        model=model,
        history=history,
        memory_mb=1,
    )
    return model.read_bytes(), history.read_bytes()


@pytest.mark.parametrize("case", STREAMED)
def test_a_training_that_does_not_fit_goes_on_to_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    case: str,
) -> None:
    with caplog.at_level(logging.INFO):
        undisturbed = streamed(tmp_path / "a", monkeypatch, **STREAMED[case])
    assert "read from their shards" in caplog.text
    assert undisturbed == streamed(tmp_path / "b", monkeypatch, **STREAMED[case])
    steps = 0
    real = module.train_step

    def stopping(*args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps % 7 == 0:
            signal.raise_signal(signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "train_step", stopping)
    starts = 0
    while True:
        starts += 1
        try:
            interrupted = streamed(tmp_path / "c", monkeypatch, **STREAMED[case])
        except SystemExit:
            continue
        break
    assert starts > 2
    assert interrupted == undisturbed
