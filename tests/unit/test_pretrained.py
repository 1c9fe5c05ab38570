import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from openecg.errors import ConfigError
from openecg.stage2.pretrained import (
    check_keys,
    interpolation,
    label_centres,
    load_exactly,
    read_weights,
)

MODEL: dict[str, Any] = {
    **{"architecture": "st_mem", "weights": "encoder.pth", "mode": "fine_tune", "dropout": 0.1},
    "encoder_learning_rate": 1e-5,
}
TENSORS = {"bias": torch.arange(3.0), "weight": torch.arange(6.0).view(3, 2)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 9}, "unknown key 'width'; keys: architecture, weights"),
        ({"mode": "train"}, "model.mode: 'train'; allowed: 'linear_probe', 'fine_tune'"),
        ({"mode": "linear_probe"}, "encoder_learning_rate: 1e-05 with mode 'linear_probe'"),
        ({"encoder_learning_rate": None}, "encoder_learning_rate: None with mode 'fine_tune'"),
    ],
)
def test_a_bad_model_is_refused(change: dict[str, object], words: str) -> None:
    check_keys(MODEL)
    check_keys(MODEL | {"layout": {}})
    with pytest.raises(ConfigError, match=words):
        check_keys(MODEL | change)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="missing key 'mode'"):
        check_keys({key: value for key, value in MODEL.items() if key != "mode"})


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt", "a.bin"])
def test_weights_come_back_as_float32_by_name(name: str, tmp_path: Path) -> None:
    half = {key: tensor.half() for key, tensor in TENSORS.items()} | {"steps": torch.tensor(7)}
    if name.endswith("safetensors"):
        safetensors.torch.save_file(half, tmp_path / name)
    else:
        torch.save({"model": half, "epoch": 3, "optimizer": None}, tmp_path / name)
    read = read_weights(tmp_path / name, inside="model")
    assert read.keys() == half.keys()
    assert read["steps"].dtype == torch.int64
    for key, tensor in TENSORS.items():
        assert read[key].dtype == torch.float32
        assert torch.equal(read[key], tensor)


def test_weights_that_are_changed_leave_their_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(TENSORS, path)
    read_weights(path)["bias"].fill_(9)
    assert torch.equal(read_weights(path)["bias"], TENSORS["bias"])


class Unpicklable:
    """Stands for code in a file: unpickling it would make the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": TENSORS, "args": Unpicklable(tmp_path / "made")}, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"a.pth: found posix.mkdir; only tensors") as e:
        read_weights(tmp_path / "a.pth")
    assert "\n" not in str(e.value)
    torch.save({"args": SimpleNamespace(width=3)}, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match=r"found types.SimpleNamespace; only tensors"):
        read_weights(tmp_path / "a.pth")
    assert not (tmp_path / "made").exists()


def test_a_damaged_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "whole.pth")
    zipped = (tmp_path / "whole.pth").read_bytes()
    plain = safetensors.torch.save(TENSORS)
    foreign = {
        "a.safetensors: damaged or no .safetensors file": plain[:-1],
        "b.safetensors: damaged or no .safetensors file": b"GIF89a" * 9,
        "c.pth: damaged or no .pth file": zipped[: len(zipped) // 2],
        "d.pth: found no torch.save file; only tensors": b"GIF89a" * 9,
        "e.bin: damaged or no .bin file": b"",
        "f.npz: ending '.npz'; weights end in .safetensors, .bin": zipped,
    }
    for words, content in foreign.items():
        path = tmp_path / words.partition(":")[0]
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=words) as caught:
            read_weights(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"lost.pt: no such file"):
        read_weights(tmp_path / "lost.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "found list; weights are tensors by name"),
        ({}, "found nothing|does not fit"),
        (dict.fromkeys("abcd", 1), "found a, b, c and 1 more; weights are tensors by name"),
    ],
)
def test_a_file_without_tensors_is_refused(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match=words):
        load_exactly(nn.Linear(2, 3), read_weights(tmp_path / "a.pt"), tmp_path / "a.pt")


def test_an_encoder_takes_all_of_its_weights_and_no_others() -> None:
    with torch.device("meta"):
        encoder = nn.Linear(2, 3)
    load_exactly(encoder, {"B": TENSORS["bias"], "W": TENSORS["weight"]}, Path("a"), published=up)
    assert torch.equal(encoder.weight, TENSORS["weight"])
    assert torch.equal(encoder(torch.zeros(1, 2))[0], TENSORS["bias"])
    extra = TENSORS | {f"extra{k}": torch.zeros(1) for k in range(5)}
    wrong = {
        "missing: bias$": {"weight": TENSORS["weight"]},
        "unexpected: extra0, extra1, extra2 and 2 more$": extra,
        r"of another shape: weight \(2, 3\) instead of \(3, 2\)$": TENSORS
        | {"weight": TENSORS["weight"].view(2, 3)},
    }
    for words, tensors in wrong.items():
        with pytest.raises(ConfigError, match="^folder/a.pth: does not fit Linear; " + words):
            load_exactly(encoder, tensors, Path("folder/a.pth"))


def up(name: str) -> str:
    return name[0].upper()


@pytest.mark.parametrize("known", [[3.0], [0.0, 1.0], [-2.0, 0.5, 0.75, 7.0]])
def test_interpolation_is_that_of_numpy(known: list[float]) -> None:
    wanted = np.linspace(-3, 8, 50, dtype=np.float32)
    weights = interpolation(torch.tensor(known), torch.from_numpy(wanted)).numpy()
    for column, unit in zip(weights.T, np.eye(len(known)), strict=True):
        np.testing.assert_allclose(column, np.interp(wanted, known, unit), atol=1e-6)


def test_a_label_is_in_the_middle_of_its_five_samples() -> None:
    centres = label_centres(2500, torch.device("cpu"))
    assert len(centres) == 500
    assert centres[0] == np.mean(range(5))
    assert centres[-1] == np.mean(range(2495, 2500))
