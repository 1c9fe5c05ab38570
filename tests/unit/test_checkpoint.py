import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from openecg.errors import DataError
from openecg.stage2.checkpoint import KEY, Origin, load_checkpoint, save_checkpoint
from openecg.stage2.engine import build_model
from tests.unit.made_up_shards import setting_values

ORIGIN = Origin(
    **{"name": "tiny", "setting": setting_values(), "scheme": "held_out", "seed": 3},
    **{
        "code": "c",
        "data": "d",
        "fs_hz": 250.0,
        "n_samples": 200,
        "precision": "float32",
        "buffer": 0,
    },
)


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return build_model(ORIGIN.setting["model"]).state_dict()


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    save_checkpoint(weights(), ORIGIN, tmp_path / "model")
    network, origin = load_checkpoint(tmp_path / "model")
    assert origin == ORIGIN
    for name, value in weights().items():
        assert torch.equal(network.state_dict()[name], value)
    out = network(torch.randn(2, 1, 200), torch.tensor([[0], [1]]))
    assert out.logits.shape == (2, 1, 40, 4)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = weights()
    save_checkpoint(first, ORIGIN, tmp_path / "a")
    setting = dict(reversed(ORIGIN.setting.items()))
    backwards = dict(reversed(first.items()))
    save_checkpoint(backwards, replace(ORIGIN, setting=setting), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    save_checkpoint(weights(seed=1), ORIGIN, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_a_damaged_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model"
    save_checkpoint(weights(), ORIGIN, path)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    content = json.loads(json.loads(whole[8:start])["__metadata__"][KEY])
    wider = ORIGIN.setting | {"model": ORIGIN.setting["model"] | {"d_model": 16}}
    lost = ORIGIN.setting | {"model": ORIGIN.setting["model"] | {"architecture": "lost"}}
    foreign = {
        "not a readable safetensors file": whole[:-1],
        "not a readable safetensors": b"GIF89a" * 9,
        "readable safetensors file": b"",
        "no openecg metadata": safetensors.torch.save(weights()),
        "metadata": safetensors.torch.save(weights(), {KEY: "{"}),
        "classes .* this version reads": changed(content, classes=["other", "QRS"]),
        "format 'other'": changed(content, format="other"),
        "unexpected keyword": changed(content, more=1),
        r"stem.2.weight is torch.float32 \[8,.* needs": changed(content, setting=wider),
        "openecg.stage2.lost": changed(content, setting=lost),
        "missing key 'augmentation'": changed(content, setting={"model": {}, "training": {}}),
    }
    for words, content_bytes in foreign.items():
        path.write_bytes(content_bytes)
        with pytest.raises(DataError, match=words) as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="not a readable"):
        load_checkpoint(tmp_path / "absent")


def changed(content: dict[str, object], **values: object) -> bytes:
    return safetensors.torch.save(weights(), {KEY: json.dumps(content | values)})
