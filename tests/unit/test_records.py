import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from openecg.__main__ import main
from openecg.errors import ConfigError, DataError
from openecg.index import index_records
from openecg.records import SCHEMA, read_records
from openecg.waves import QRS, P, T
from tests.unit.tiny_zips import MARKS, marks_file, members, write_zip

ISP_MARKS = [[100, 300, 500], [-1, -1, -1], [200, 400, 700]]


def indexed(archive: Path, layout: str, parts: int = 2) -> Path:
    index = archive.with_suffix(".parquet")
    index_records(
        archive=archive,
        sha256="",
        dataset="tiny",
        layout=layout,
        parts=parts,
        split="record",
        held_out="val",
        fraction=0.5,
        seed=0,
        index=index,
    )
    return index


@pytest.mark.parametrize(("layout", "n_rows"), [("ludb", 36), ("qtdb", 4), ("isp", 48)])
def test_one_row_per_record_and_lead_in_the_order_of_the_index(
    tmp_path: Path, layout: str, n_rows: int
) -> None:
    archive = write_zip(tmp_path / "x.zip", layout)
    index = indexed(archive, layout)
    rows = []
    for part in (0, 1):
        path = tmp_path / f"part-{part}"
        read_records(archive=archive, index=index, layout=layout, part=part, records=path)
        table = pq.read_table(path, partitioning=None)
        assert table.schema.remove_metadata() == SCHEMA
        rows += table.to_pylist()
    assert len(rows) == n_rows
    listed = {row["record_id"]: row for row in pq.read_table(index).to_pylist()}
    assert list(dict.fromkeys(row["record_id"] for row in rows)) == list(listed)
    assert len({(row["record_id"], row["lead"]) for row in rows}) == n_rows
    for row in rows:
        for name in ("dataset", "split", "fold", "rhythm", "conduction", "paced"):
            assert row[name] == listed[row["record_id"]][name]
        assert row["wave_kind"] == [P, QRS, T]
        marks = [row[name] for name in ("wave_on", "wave_peak", "wave_off")]
        assert marks == (ISP_MARKS if layout == "isp" else MARKS[0].reshape(3, 3).T.tolist())
        assert len(row["signal"]) == {"ludb": 500, "qtdb": 501, "isp": 999}[layout]
        assert row["fs_hz"] == {"ludb": 500, "qtdb": 250, "isp": 1000}[layout]


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", "ludb")
    index = indexed(archive, "ludb")
    for name in ("a", "b"):
        read_records(archive=archive, index=index, layout="ludb", part=0, records=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_logs_counts_of_waves_and_of_missing_marks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks = marks_file(np.array([60, 70, 80, 90]), ["N", ")", "(", "t"])
    archive = write_zip(tmp_path / "x.zip", "qtdb", {"sel30.q1c": marks})
    index = indexed(archive, "qtdb", parts=1)
    with caplog.at_level(logging.INFO):
        read_records(
            archive=archive, index=index, layout="qtdb", part=0, records=tmp_path / "records"
        )
    assert "2 records, 4 leads, 2 P, 4 QRS, 4 T waves, 2 without onset, 2 without offset" in (
        caplog.text
    )


def test_refuses_a_part_that_is_not_there(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", "ludb")
    index = indexed(archive, "ludb")
    with pytest.raises(ConfigError, match="has no part 2; allowed are 0 to 1"):
        read_records(archive=archive, index=index, layout="ludb", part=2, records=tmp_path / "r")


def test_a_damaged_record_is_one_line_exit_code_one_and_no_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = indexed(write_zip(tmp_path / "x.zip", "ludb"), "ludb")
    dat = members("ludb")["data/2.dat"]
    archive = write_zip(tmp_path / "x.zip", "ludb", {"data/2.dat": dat[:-2]})
    options = {"archive": archive, "index": index, "layout": "ludb", "part": 0}
    before = sorted(tmp_path.iterdir())
    argv = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    assert main(["read-records", *argv, "--records", str(tmp_path / "records")]) == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "record data/2: data/2.dat holds 11998 bytes" in errors[0].message
    assert "\n" not in errors[0].message
    assert sorted(tmp_path.iterdir()) == before


def test_an_index_of_another_archive_is_refused(tmp_path: Path) -> None:
    index = indexed(write_zip(tmp_path / "x.zip", "ludb"), "ludb")
    with pytest.raises(DataError, match=r"no member 1\.hea"):
        read_records(
            archive=write_zip(tmp_path / "y.zip", "qtdb"),
            index=index,
            layout="qtdb",
            part=0,
            records=tmp_path / "records",
        )


@pytest.mark.real
@pytest.mark.slow
def test_real_ludb_loads_fully(real_zip: Callable[[str], Path], tmp_path: Path) -> None:
    archive = real_zip("ludb")
    index_records(
        archive=archive,
        sha256="",
        dataset="ludb",
        layout="ludb",
        parts=1,
        split="rhythm",
        held_out="val",
        fraction=0.2,
        seed=42,
        index=tmp_path / "i",
    )
    read_records(
        archive=archive, index=tmp_path / "i", layout="ludb", part=0, records=tmp_path / "r"
    )
    table = pq.read_table(tmp_path / "r", partitioning=None)
    assert table.num_rows == 2400
    assert len(set(table["record_id"].to_pylist())) == 200
    kinds = np.concatenate(table["wave_kind"].to_pylist())
    assert [np.count_nonzero(kinds == kind) for kind in (QRS, T, P)] == [21_965, 19_661, 16_797]
    for column, missing in (("wave_on", 131), ("wave_off", 29), ("wave_peak", 0)):
        marks = np.concatenate(table[column].to_pylist())
        assert np.count_nonzero(marks == -1) == missing
        assert marks.max() < 5000
