import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from openecg.errors import ConfigError
from openecg.stage2.pretrained import (
    check_mode,
    interpolation,
    label_centres,
    load_exactly,
    read_weights,
)

TENSORS = {"bias": torch.arange(3.0), "weight": torch.arange(6.0).view(3, 2)}


@pytest.mark.parametrize(
    ("mode", "rate", "words"),
    [
        ("train", None, "model.mode: 'train'; allowed: 'linear_probe', 'fine_tune'"),
        ("linear_probe", 1e-5, "encoder_learning_rate: 1e-05 with mode 'linear_probe'"),
        ("fine_tune", None, "encoder_learning_rate: None with mode 'fine_tune'"),
    ],
)
def test_a_mode_and_a_rate_that_do_not_fit_are_refused(
    mode: str, rate: float | None, words: str
) -> None:
    check_mode("linear_probe", None)
    check_mode("fine_tune", 1e-5)
    with pytest.raises(ConfigError, match=words):
        check_mode(mode, rate)


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


def test_weights_that_were_read_do_not_change_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(TENSORS, path)
    read = read_weights(path)
    with path.open("r+b") as opened:
        opened.seek(-24, os.SEEK_END)
        opened.write(bytes(24))
    assert torch.equal(read["weight"], TENSORS["weight"])


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
