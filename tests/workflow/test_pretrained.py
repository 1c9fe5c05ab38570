"""Heads on pretrained encoders go through the whole workflow to their rows in the tables."""

import csv

import pytest
import torch
import yaml

from tests.unit.test_hubert_ecg import TINY
from tests.unit.test_st_mem import published
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.xdist_group("workflow")
MODES = {
    "probe": {"mode": "linear_probe", "encoder_learning_rate": None},
    "tuned": {"mode": "fine_tune", "encoder_learning_rate": 1.0e-5},
}
WEIGHTS = {"hubert_ecg": "resources/hubert", "st_mem": "resources/st_mem.pth"}


def test_both_encoders_in_both_modes_have_rows_in_the_tables(done: Checkout) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    torch.manual_seed(0)  # weights of the published layout, drawn at random
    hubert = transformers.HubertModel(transformers.HubertConfig(**TINY))
    hubert.save_pretrained(done.root / WEIGHTS["hubert_ecg"])
    torch.save({"model": published()}, done.root / WEIGHTS["st_mem"])
    settings = {
        f"{architecture}_{name}": {
            "base": "F_simulated",
            "model": {"architecture": architecture, "weights": path, "dropout": 0.1, **mode},
            "training": {"epochs": 1},
        }
        for architecture, path in WEIGHTS.items()
        for name, mode in MODES.items()
    }
    overlay = done.root / "pretrained.yaml"
    overlay.write_text(yaml.safe_dump({"train": list(settings), "settings": settings}))
    done.config = (*done.config, "pretrained.yaml")
    done.make()
    with (done.root / "results/tables/frame_f1.tsv").open() as opened:
        systems = {row["system"] for row in csv.DictReader(opened, delimiter="\t")}
    assert settings.keys() <= systems
    assert not done.planned()
    (done.root / WEIGHTS["st_mem"]).touch()
    torch.save({"model": published(layers=1)}, done.root / WEIGHTS["st_mem"])
    assert done.planned()["train"] == len(MODES)
