from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from openecg.stage2.batches import Data, device_data
from openecg.stage2.engine import label_edges
from openecg.stage2.settings import Augmentation
from openecg.stage2.targets import OTHER_OR_P, Marks, label_targets
from openecg.stage2.training_set import read_training_set
from openecg.stage2.transplant import MARGIN_MS, PR_SEGMENT_MS, SIZE, transplant_p
from openecg.waves import BOUNDARIES, QRS, P
from tests.unit.made_up_shards import marked, setting_values, shard_rows, write_rows

CPU = torch.device("cpu")
# One beat in 800 ms; the second P would meet the T before it where the PR segment is long.
GIVER = [(P, 100.0, 158.0), (QRS, 200.0, 258.0), (3, 300.0, 378.0), (QRS, 560.0, 600.0)]
TAKER = [(QRS, 360.0, 418.0), (3, 450.0, 508.0), (QRS, 640.0, 698.0)]


def strips(folder: Path, *, rhythm: str = "Sinus rhythm", n_items: int = 2) -> Data:
    """Give items of two leads: the first has a P wave, the others have none, and are flat."""
    rows = shard_rows(records=n_items, leads=2)
    for i, row in enumerate(rows):
        row |= {"rhythm": rhythm} | marked(GIVER if i < 2 else TAKER)
    read = read_training_set(
        [write_rows(rows, folder / "a")], train_on=["made_up"], scheme="held_out"
    )
    data = device_data(read, read.fold >= 0, leads="any", device=CPU)
    time_ms = torch.arange(200) * 4.0
    bump = torch.sin(torch.pi * (time_ms - 100) / 60) * ((time_ms >= 100) & (time_ms <= 160))
    signal = torch.zeros_like(data.signal)
    signal[0], signal[1] = bump, -2 * bump
    return replace(data, signal=signal)


def transplanted(data: Data, **values: Any) -> tuple[torch.Tensor, Marks]:
    signal, marks = data.signal.clone(), data.marks.at(torch.arange(data.n_windows))
    how = Augmentation(**setting_values(augmentation=values)["augmentation"])
    transplant_p(signal, marks, how, n_leads=2, fs_hz=data.fs_hz)
    return signal, marks


def labels(marks: Marks, n: int) -> torch.Tensor:
    return label_targets(marks, label_edges(200, 1, fs_hz=250.0).expand(n, -1), masked=True)


def test_a_p_wave_is_put_ahead_of_each_qrs_with_its_label(tmp_path: Path) -> None:
    data = strips(tmp_path, n_items=300)
    torch.manual_seed(0)
    signal, marks = transplanted(data, p_waves=1.0)
    assert torch.equal(signal[:2], data.signal[:2])
    assert not torch.equal(signal, data.signal)
    target = labels(marks, len(signal))
    before = labels(data.marks, len(signal))
    is_p = target == P
    assert torch.equal(target[~is_p], before[~is_p])
    assert set(before[2:][is_p[2:]].tolist()) == {OTHER_OR_P, 255}
    n_beats = (is_p.int().diff(dim=1) == 1).sum(dim=1)[2:]
    assert set(n_beats.tolist()) == {1, 2}  # where it would meet the T before it, none
    assert (is_p.sum(dim=1)[2:] == 15 * n_beats).all()  # 60 ms each
    last = (is_p[2:, :90] * torch.arange(90)).amax(dim=1)
    gap_ms = 360 - 4.0 * (last + 1)
    assert gap_ms.min() >= PR_SEGMENT_MS[0] - 2
    assert gap_ms.max() <= PR_SEGMENT_MS[1] + 2
    assert gap_ms.unique().numel() > 10
    at = [BOUNDARIES.index(name) for name in ("P_on", "P_off")]
    bounds, first = marks.boundary_ms[2:, at, :2], marks.on_ms[2:, 0, :2]
    assert torch.equal(bounds[:, 0], first)
    assert torch.equal(bounds[:, 1], marks.off_ms[2:, 0, :2] - 2)  # marks are at 500 Hz
    margin = round(MARGIN_MS / 4)
    for row in range(2, 40):
        inside = is_p[row].nonzero()[:, 0]
        changed = signal[row].abs() > 1e-6
        assert changed[inside].sum() >= len(inside) - 2 * n_beats[row - 2]
        assert not changed[: inside.min() - margin].any()
    sizes = signal[2:].abs().amax(dim=1).view(-1, 2)
    torch.testing.assert_close(sizes[:, 1], 2 * sizes[:, 0])
    assert sizes[:, 0].min() >= SIZE[0] - 0.01
    assert sizes[:, 0].max() <= SIZE[1] + 1e-6


@pytest.mark.parametrize(("rhythm", "share"), [("Atrial fibrillation", 1.0), ("Sinus rhythm", 0.0)])
def test_other_records_keep_what_they_have(tmp_path: Path, rhythm: str, share: float) -> None:
    data = strips(tmp_path, rhythm=rhythm)
    signal, marks = transplanted(data, p_waves=share)
    assert torch.equal(signal, data.signal)
    assert torch.equal(labels(marks, 4), labels(data.marks, 4))


def test_without_a_p_wave_to_give_nothing_changes(tmp_path: Path) -> None:
    data = strips(tmp_path)
    rows = torch.tensor([2, 3])
    alone = replace(data, signal=data.signal[rows], marks=data.marks.at(rows))
    signal, _ = transplanted(alone, p_waves=1.0)
    assert torch.equal(signal, alone.signal)


def test_a_p_wave_that_runs_into_its_qrs_is_not_given(tmp_path: Path) -> None:
    data = strips(tmp_path)
    near = data.marks.at(torch.arange(data.n_windows))
    near.boundary_ms[:2, BOUNDARIES.index("QRS_on"), 0] = near.off_ms[0, 0, 0] + MARGIN_MS - 1
    signal, _ = transplanted(replace(data, marks=near), p_waves=1.0)
    assert torch.equal(signal, data.signal)


def test_an_item_with_p_marks_in_one_of_its_leads_keeps_what_it_has(tmp_path: Path) -> None:
    data = strips(tmp_path)
    data.marks.p_unmarked[3] = False
    signal, _ = transplanted(data, p_waves=1.0)
    assert torch.equal(signal, data.signal)


def test_no_p_wave_is_put_on_a_half_marked_wave(tmp_path: Path) -> None:
    data = strips(tmp_path)
    data.marks.unknown_on_ms[2:, 0, :1], data.marks.unknown_off_ms[2:, 0, :1] = 0.0, 800.0
    signal, _ = transplanted(data, p_waves=1.0)
    assert torch.equal(signal, data.signal)


def test_the_share_of_items_is_kept(tmp_path: Path) -> None:
    data = strips(tmp_path, n_items=1000)
    torch.manual_seed(0)
    signal, _ = transplanted(data, p_waves=0.3)
    assert signal[2:].any(dim=1).float().mean() == pytest.approx(0.3, abs=0.05)
