"""What a step of training learns from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from openecg.stage2.batches import device_data, make_batch
from openecg.stage2.engine import build_model
from openecg.stage2.settings import Setting
from openecg.stage2.training_set import read_training_set
from tests.unit.made_up_shards import UNET, setting_values, shard_rows, write_rows

CPU = torch.device("cpu")
QRS = 2


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_spikes_move_with_the_labels_of_their_qrs(tmp_path: Path, scale: float) -> None:
    path = write_rows(shard_rows(records=40, leads=1), tmp_path / "part-0.parquet")
    training_set = read_training_set([path], train_on=["made_up"], scheme="held_out")
    chosen = training_set.fold >= 0
    data = device_data(training_set, chosen, leads="any", device=CPU)
    flat = replace(data, signal=torch.zeros_like(data.signal))
    values = setting_values(
        model=UNET,
        leads="any",
        augmentation={"spikes": 1.0, "time_scale": [scale, scale]},
    )
    torch.manual_seed(0)
    batch = make_batch(flat, flat.items, build_model(UNET), Setting.from_dict(values))
    ahead = []
    for signal, target in zip(batch.signal[:, 0], batch.target, strict=True):
        starts = (target == QRS).int().diff(prepend=torch.tensor([0])) == 1
        for at in signal.ne(0).nonzero()[::2, 0].tolist():
            later = starts.nonzero()[:, 0] - at
            ahead += later[later >= -1][:1].tolist()  # none where the window ends in between
    assert len(ahead) > 20
    assert max(ahead) in {round(24 * scale / 4), round(24 * scale / 4) - 1}
    assert min(ahead) <= 0
