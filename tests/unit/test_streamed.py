"""Training windows that stay in their shards."""

from pathlib import Path

import numpy as np
import pytest
import torch

from openecg.selection import learnt_rows
from openecg.stage2.batches import Data, device_data
from openecg.stage2.streamed import StreamedData, streamed_data, training_bytes
from openecg.stage2.targets import Marks
from openecg.stage2.training_set import MARKS, FoundWindows, read_training_set
from tests.unit.made_up_shards import N_SAMPLES, shard_rows, write_rows

CPU = torch.device("cpu")


def shards(folder: Path) -> list[Path]:
    """Write three shards, two of which hold more than a row group."""
    paths = []
    for part, records in enumerate((150, 7, 160)):
        rows = shard_rows(records=records, seed=part)
        rows += shard_rows(records=3, split="test", seed=part)
        for row in rows:
            row["record_id"] = f"{part}-{row['split']}-{row['record_id']}"
        paths.append(write_rows(rows, folder / f"part-{part}.parquet", row_group_size=256))
    return paths


def both(folder: Path, *, leads: str, buffer: int) -> tuple[Data, StreamedData]:
    """Read the same windows into memory, and prepare to stream them."""
    paths = shards(folder)
    training_set = read_training_set(paths, train_on=["made_up"], scheme="held_out")
    chosen = training_set.fold != 0
    found = FoundWindows(
        paths, select=lambda split, fold: learnt_rows("held_out", split, fold), columns=MARKS
    )
    return (
        device_data(training_set, chosen, leads=leads, device=CPU),
        streamed_data(found, chosen, leads=leads, buffer=buffer, device=CPU),
    )


def told(data: Data, rows: torch.Tensor) -> list[bytes]:
    """Tell windows apart by what the network sees of them."""
    return [data.signal[row].numpy().tobytes() for row in rows.flatten()]


@pytest.mark.parametrize("leads", ["one", "any"])
@pytest.mark.parametrize("buffer", [1, 50, 400, 10_000])
def test_every_window_is_seen_once_in_an_epoch(tmp_path: Path, leads: str, buffer: int) -> None:
    whole, data = both(tmp_path, leads=leads, buffer=buffer)
    assert (data.n_windows, data.n_items) == (whole.n_windows, whole.n_items)
    size = 7
    torch.manual_seed(0)
    seen: list[bytes] = []
    order: list[list[bytes]] = []
    for held, items in data.batches(size, first=0):
        assert items.shape == (size, whole.items.shape[1])
        assert held.n_windows <= max(buffer, 256) + 256 + size * items.shape[1]
        order.append(told(held, items))
        seen += order[-1]
    n_left = whole.n_items % size * whole.items.shape[1]
    assert len(seen) == len(set(seen)) == whole.n_windows - n_left
    assert set(seen) <= set(told(whole, whole.items))
    assert seen != told(whole, whole.items)[: len(seen)]
    torch.manual_seed(0)
    again = [told(held, items) for held, items in data.batches(size, first=11)]
    assert again == order[11:]
    torch.manual_seed(1)
    assert [told(*one) for one in data.batches(size, first=0)] != order


@pytest.mark.parametrize("leads", ["one", "any"])
def test_blocks_hold_what_memory_would(tmp_path: Path, leads: str) -> None:
    whole, data = both(tmp_path, leads=leads, buffer=100)
    at = 0
    for block in data.blocks():
        rows = whole.items[at : at + block.n_items]
        at += block.n_items
        own = block.items.flatten()
        assert torch.equal(block.signal[own], whole.signal[rows.flatten()])
        assert torch.equal(block.lead_index[own], whole.lead_index[rows.flatten()])
        for name in Marks.__dataclass_fields__:
            mine = getattr(block.marks.at(own), name)
            theirs = getattr(whole.marks.at(rows.flatten()), name)
            filled = theirs[..., : mine.shape[-1]] if mine.ndim > 1 else theirs
            assert torch.equal(mine, filled), name
            assert mine.ndim == 1 or not torch.isfinite(theirs[..., mine.shape[-1] :]).any()
    assert at == whole.n_items


def test_signals_take_the_place_of_those_before(tmp_path: Path) -> None:
    _, data = both(tmp_path, leads="one", buffer=100)
    for held in ([one for one, _ in data.batches(7, first=0)], list(data.blocks())):
        assert len({id(one) for one in held}) > 1
        assert len({one.signal.data_ptr() for one in held}) == 1


def test_windows_are_read_into_memory_that_is_given(tmp_path: Path) -> None:
    paths = shards(tmp_path)
    found = FoundWindows(paths, select=lambda split, _: split == "train", columns=MARKS)
    which = np.array([0, 5, 255, 256, 301, found.number.size - 1])
    own = found.read(which)
    out = np.full((9, N_SAMPLES), np.nan, dtype=np.float32)
    given = found.read(which, out=out)
    assert np.shares_memory(given.signal, out)
    assert np.array_equal(given.signal, own.signal)
    assert np.isnan(out[which.size :]).all()
    assert np.array_equal(given.lead_index, own.lead_index)
    assert given.rows.equals(own.rows)


def test_the_digest_sees_signals_marks_and_folds(tmp_path: Path) -> None:
    rows = shard_rows()

    def digest() -> str:
        path = write_rows(rows, tmp_path / "part")
        found = FoundWindows([path], select=lambda split, _: split == "train", columns=MARKS)
        return found.digest()

    first = digest()
    assert first == digest()
    rows[3]["signal"] = rows[3]["signal"] * np.linspace(0.9, 1, N_SAMPLES, dtype=np.float32)
    second = digest()
    rows[4]["fold"] = 4 - rows[4]["fold"]
    rows[5]["on_ms"] = rows[5]["on_ms"] + 1
    assert len({first, second, digest()}) == 3


def test_the_memory_of_windows_is_told_before_they_are_read(tmp_path: Path) -> None:
    n_windows, each = training_bytes(shards(tmp_path), "held_out")
    assert n_windows == 2 * (150 + 7 + 160)
    assert each > N_SAMPLES * 4
