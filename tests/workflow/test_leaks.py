"""What held-out records hold reaches no weight, all the way from the zip."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch

from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.xdist_group("workflow")
DATASET = "simulated_ludb"
SIMULATED = f"results/simulated/{DATASET}.zip"
SIGNALS = (".dat", ".hea")


def test_nonsense_in_held_out_records_leaves_all_weights_as_they_are(done: Checkout) -> None:
    index = pd.read_parquet(done.root / f"results/index/{DATASET}.parquet")
    held_out = sorted(index.loc[index["split"] != "train", "record_id"])
    donor = index.loc[index["split"] == "train", "record_id"].iloc[0]
    assert held_out
    before = weights(done.root)
    garble(done.root / SIMULATED, held_out, donor)
    done.make("checkpoints")
    after = weights(done.root)
    assert before.keys() == after.keys()
    for name, tensors in before.items():
        assert all(torch.equal(tensors[key], after[name][key]) for key in tensors), name
    # The test can tell: the same done to one training record changes them.
    garble(
        done.root / SIMULATED, [index.loc[index["split"] == "train", "record_id"].iloc[1]], donor
    )
    done.make("checkpoints")
    for name, tensors in weights(done.root).items():
        assert not all(torch.equal(tensors[key], before[name][key]) for key in tensors), name


def weights(root: Path) -> dict[str, dict[str, torch.Tensor]]:
    models = sorted((root / "results/checkpoints").rglob("model.safetensors"))
    assert models
    return {model.parent.as_posix(): safetensors.torch.load_file(model) for model in models}


def garble(archive: Path, record_ids: list[str], donor: str) -> None:
    """Give records the annotations of another one."""
    with zipfile.ZipFile(archive) as opened:
        content = {name: opened.read(name) for name in opened.namelist()}
    sums = next(name for name in content if name.endswith("SHA256SUMS.txt"))
    for name in content:
        record, point, lead = Path(name).name.partition(".")
        if record in record_ids and not name.endswith(SIGNALS) and "/data/" in name:
            other = content[name.replace(f"/{record}{point}", f"/{donor}{point}")]
            assert other != content[name]
            before, now = (hashlib.sha256(text).hexdigest() for text in (content[name], other))
            own = f"data/{record}.{lead}"
            lines = content[sums].decode().splitlines(keepends=True)
            content[sums] = "".join(
                line.replace(before, now) if own in line else line for line in lines
            ).encode()
            content[name] = other
    aside = archive.with_suffix(".aside")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in content.items():
            opened.writestr(name, text)
    shutil.move(aside, archive)
