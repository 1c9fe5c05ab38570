from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from openecg.archive import zip_stamp
from openecg.errors import ConfigError, DataError
from openecg.files import parquet_note
from openecg.index import SCHEMA, index_records
from tests.unit.tiny_zips import write_zip

# Functional spec 4.1: the validation records of the published openecg results.
PUBLISHED = [
    *(10, 11, 14, 20, 21, 22, 28, 33, 34, 35, 39, 47, 48, 53, 55, 56, 66, 67, 70, 72, 73, 74, 78),
    *(91, 92, 93, 95, 101, 115, 119, 120, 133, 135, 154, 174, 178, 179, 189, 191, 194, 196),
]


def rows(archive: Path, layout: str, index: Path, **changes: Any) -> list[dict[str, Any]]:
    setting = {
        "sha256": "",
        "dataset": "tiny",
        "parts": 2,
        "split": "record",
        "held_out": "val",
        "fraction": 0.4,
        "seed": 0,
    }
    index_records(archive=archive, layout=layout, index=index, **{**setting, **changes})
    table = pq.read_table(index, partitioning=None)
    assert table.schema.remove_metadata() == SCHEMA
    return table.to_pylist()


def test_one_row_per_record_in_order_and_parts_are_contiguous(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", "ludb", {"RECORDS": b"data/10\ndata/2\ndata/1\n"})
    got = rows(archive, "ludb", tmp_path / "i.parquet")
    assert [row["record_id"] for row in got] == ["1", "2", "10"]
    assert [row["part"] for row in got] == [0, 0, 1]
    assert {row["dataset"] for row in got} == {"tiny"}
    assert Counter(row["split"] for row in got) == {"train": 2, "val": 1}
    assert [row["paced"] for row in got] == [False, True, False]
    assert got[1]["rhythm"] == "Atrial fibrillation"
    assert got[2]["conduction"] == "I degree av block; Left anterior hemiblock"


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", "qtdb")
    for name in ("a", "b"):
        rows(archive, "qtdb", tmp_path / name, fraction=0.5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_published_split_goes_under_the_name_asked_for(tmp_path: Path) -> None:
    got = rows(
        write_zip(tmp_path / "x.zip", "isp"),
        "isp",
        tmp_path / "i.parquet",
        split="published",
        held_out="test",
        parts=4,
    )
    assert [(row["record_id"], row["split"]) for row in got] == [
        ("train-7", "train"),
        ("train-1", "train"),
        ("train-3", "train"),
        ("test-1", "test"),
    ]
    assert [row["part"] for row in got] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("unknown layout 'x'; allowed are isp, ludb, qtdb", {"layout": "x"}),
        ("unknown split 'x'; allowed are published, record, rhythm", {"split": "x"}),
        ("held_out must be a name other than 'train'", {"held_out": "train"}),
        ("parts must be 1 to 2, the records of tiny, got 3", {"parts": 3}),
        ("parts must be 1 to 2, the records of tiny, got 0", {"parts": 0}),
        ("fraction must lie between 0 and 1, got 1.5", {"fraction": 1.5}),
        ("holds out 0 of 2 records", {"fraction": 0.1}),
        ("split 'rhythm': record sel100 has no rhythm", {"split": "rhythm"}),
        ("split 'published': the data set publishes split None", {"split": "published"}),
    ],
)
def test_refuses_settings_that_do_not_fit(
    tmp_path: Path, message: str, changes: dict[str, Any]
) -> None:
    archive = write_zip(tmp_path / "x.zip", "qtdb")
    with pytest.raises(ConfigError) as caught:
        rows(archive, index=tmp_path / "i.parquet", **{"layout": "qtdb", **changes})
    assert message in str(caught.value)
    assert not (tmp_path / "i.parquet").exists()


@pytest.mark.parametrize("layout", ["ludb", "qtdb"])
def test_a_release_without_its_sums_is_refused(tmp_path: Path, layout: str) -> None:
    archive = write_zip(tmp_path / "x.zip", layout, sums=False)
    with pytest.raises(DataError, match=r"x\.zip: no member SHA256SUMS\.txt"):
        rows(archive, layout, tmp_path / "i.parquet")
    assert not (tmp_path / "i.parquet").exists()


def test_a_zip_of_another_sum_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", "qtdb")
    with pytest.raises(DataError, match=r"x\.zip: sha256 is \w{64}, expected 0{64}"):
        rows(archive, "qtdb", tmp_path / "i.parquet", sha256="0" * 64)
    assert not (tmp_path / "i.parquet").exists()


def test_the_index_carries_the_stamp_of_its_zip(tmp_path: Path) -> None:
    assert parquet_note(tmp_path / "i.parquet", "zip") == ""
    archive = write_zip(tmp_path / "x.zip", "qtdb")
    rows(archive, "qtdb", tmp_path / "i.parquet", fraction=0.5)
    assert parquet_note(tmp_path / "i.parquet", "zip") == zip_stamp(archive)
    assert parquet_note(tmp_path / "i.parquet", "other") == ""


def test_a_damaged_archive_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no member RECORDS"):
        rows(write_zip(tmp_path / "x.zip", "isp"), "qtdb", tmp_path / "i.parquet")
    assert not (tmp_path / "i.parquet").exists()


@pytest.mark.real
def test_real_ludb_gives_the_published_split(
    real_zip: Callable[[str], Path], tmp_path: Path
) -> None:
    got = rows(
        real_zip("ludb"),
        "ludb",
        tmp_path / "i.parquet",
        split="rhythm",
        fraction=0.2,
        seed=42,
        parts=8,
    )
    assert [row["record_id"] for row in got] == [str(i) for i in range(1, 201)]
    assert [int(row["record_id"]) for row in got if row["split"] == "val"] == PUBLISHED
    assert set(Counter(row["part"] for row in got).values()) == {25}
    assert Counter(row["rhythm"] for row in got if row["split"] == "val") == {
        "Atrial fibrillation": 3,
        "Atrial flutter, typical": 1,
        "Sinus arrhythmia": 2,
        "Sinus bradycardia": 5,
        "Sinus rhythm": 29,
        "Sinus tachycardia": 1,
    }
    for split in ("train", "val"):
        sizes = Counter(row["fold"] for row in got if row["split"] == split)
        assert sorted(sizes) == [0, 1, 2, 3, 4]
        assert max(sizes.values()) - min(sizes.values()) <= 1
