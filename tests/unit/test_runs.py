"""What is said of each system of a run comes from what was trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from openecg.errors import ConfigError, DataError
from openecg.files import read_tsv
from openecg.stage2.checkpoint import Origin, save_checkpoint
from openecg.stage2.engine import build_model
from openecg.stage2.runs import list_runs
from tests.unit.made_up_shards import setting_values

SAID = {"decoding": "plain", "base": "", "changes": ""}
STREAMS = json.dumps({"nk_dwt": {"method": "dwt", "pacer": "high_pass", "grid": "nearest"}})


def checkpoint(
    folder: Path,
    name: str = "F",
    *,
    scheme: str = "held_out",
    train_on: str = "made_up",
    **training: Any,
) -> tuple[Path, int]:
    """Write the checkpoint of a setting, and count its parameters."""
    values = setting_values(**training) | {"train_on": [train_on]}
    torch.manual_seed(0)
    network = build_model(values["model"])
    origin = Origin(name, values, scheme, 0, "c", "d", 250.0, 200, "float32", 0)
    save_checkpoint(network.state_dict(), origin, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors", sum(p.numel() for p in network.parameters())


def listed(folder: Path, *models: Path, systems: dict[str, Any]) -> Any:
    list_runs(
        systems=json.dumps(systems),
        streams=STREAMS,
        models=list(models),
        table=folder / "runs.tsv",
    )
    return read_tsv(folder / "runs.tsv").set_index("system")


def test_a_row_says_what_was_trained_and_how(tmp_path: Path) -> None:
    path, n_parameters = checkpoint(tmp_path, mask_unannotated=False, epochs=7)
    shift = SAID | {"decoding": "p_off_shift_ms -22", "base": "E", "changes": "model.layers 8"}
    runs = listed(tmp_path, path, systems={"F": SAID, "F+shift": shift})
    assert list(runs.index) == ["nk_dwt", "F", "F+shift"]
    for system in ("F", "F+shift"):
        row = runs.loc[system]
        assert row[["trained_on", "training", "epochs", "batch_size"]].tolist() == [
            "made_up", "original", 7, 4,
        ]  # fmt: skip
        assert row["parameters"] == n_parameters
    assert runs.loc["F+shift", ["decoding", "base", "changes"]].tolist() == list(shift.values())
    assert runs.loc["nk_dwt", "decoding"] == "NeuroKit dwt, spikes by high_pass, nearest grid"
    assert runs.loc["nk_dwt"].drop("decoding").isna().all()


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"keep": "best", "tuning_fold": 0}, "best epoch on a tuning fold inside the training"),
        ({"keep": "last", "tuning_fold": None}, "last epoch, all training records"),
        ({"keep": "last", "tuning_fold": 0}, "last epoch, all training records but a tuning fold"),
    ],
)
def test_how_the_epoch_was_chosen(tmp_path: Path, training: dict[str, Any], words: str) -> None:
    path, _ = checkpoint(tmp_path, **training)
    selection = listed(tmp_path, path, systems={"F": SAID}).loc["F", "selection"]
    assert selection.startswith(words)
    assert ("but" in selection) == ("but" in words)


def test_a_system_without_a_checkpoint_and_what_is_not_json_are_refused(tmp_path: Path) -> None:
    path, _ = checkpoint(tmp_path)
    with pytest.raises(DataError, match=r"no checkpoint of 'C', which 'C.original' needs"):
        listed(tmp_path, path, systems={"C+original": SAID})
    with pytest.raises(ConfigError, match="streams: not JSON"):
        list_runs(systems="{}", streams="no", models=[], table=tmp_path / "runs.tsv")
    assert not (tmp_path / "runs.tsv").exists()
