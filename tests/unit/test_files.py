"""Outputs appear whole or not at all."""

import errno
import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openecg.__main__
from openecg.errors import DataError
from openecg.files import ParquetRows, parquet_writer, write_parquet, written_aside
from openecg.made import made_by, note_of


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def fail() -> None:
        with written_aside(path) as aside:
            aside.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write_often(path: Path, byte: bytes) -> None:
    for _ in range(20):
        with written_aside(path) as aside, aside.open("wb") as file:
            for _ in range(20):
                file.write(byte * 1000)


def test_two_copies_of_a_step_do_not_mix_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "part.bin"
    copies = [multiprocessing.Process(target=write_often, args=(path, b)) for b in (b"a", b"b")]
    for copy in copies:
        copy.start()
    while any(copy.is_alive() for copy in copies):
        if path.exists():
            assert path.read_bytes() in (b"a" * 20_000, b"b" * 20_000)
    assert [copy.exitcode for copy in copies] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def step(archive: Path) -> list[str]:
    """Write the command of a short step."""
    options = ("--layout", "qtdb", "--records", "2", "--seed", "1", "--archive", str(archive))
    return ["simulate", *options]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_what_the_disk_refuses_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr("os.fsync", refuse)
    path = tmp_path / "simulated" / "qtdb.zip"
    with caplog.at_level(logging.ERROR):
        assert openecg.__main__.main(step(path)) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: ")
    assert not list(path.parent.iterdir())


def test_another_error_of_the_system_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "a bug")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="a bug"):
        openecg.__main__.main(step(tmp_path / "qtdb.zip"))


SCHEMA = pa.schema([("name", pa.string()), ("values", pa.list_(pa.float32()))])


def table(n_rows: int) -> pa.Table:
    rng = np.random.default_rng(n_rows)
    values = [rng.normal(size=rng.integers(0, 9)) for _ in range(n_rows)]
    return pa.table({"name": [f"row {i}" for i in range(n_rows)], "values": values}, schema=SCHEMA)


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 64])
@pytest.mark.parametrize("piece", [1, 7, 10, 100])
def test_pieces_give_the_bytes_of_the_whole(tmp_path: Path, n_rows: int, piece: int) -> None:
    whole = table(n_rows)
    pq.write_table(whole, tmp_path / "once", compression="zstd", row_group_size=10)
    with parquet_writer(SCHEMA, tmp_path / "pieces", row_group_rows=10) as writer:
        for start in range(0, n_rows, piece):
            writer.write(whole.slice(start, piece))
            assert not (tmp_path / "pieces").exists()
    assert writer.n_rows == n_rows
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "once").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once", "pieces"]


def test_pieces_carry_what_made_them_and_leave_nothing_when_they_fail(tmp_path: Path) -> None:
    with made_by("step", nothing, {"bootstrap": 3}):
        for name in ("once", "pieces"):
            with parquet_writer(SCHEMA, tmp_path / name) as writer:
                for part in [table(9)] if name == "once" else [table(9).slice(0, 4), table(9)[4:]]:
                    writer.write(part)
    assert note_of((tmp_path / "pieces").rename(tmp_path / "a.parquet"))["step"] == "step"
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "once").read_bytes()

    def fail() -> None:
        with parquet_writer(SCHEMA, tmp_path / "half") as writer:
            writer.write(table(300))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "half").exists()
    assert len(list(tmp_path.iterdir())) == 2


def nothing() -> None:
    """Stand for a step."""


@given(st.lists(st.integers(0, 41), max_size=50))
def test_rows_of_several_files_come_as_they_are_asked_for(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    parts, paths = [table(25), table(0), table(17)], []
    for i, part in enumerate(parts):
        paths.append(folder / f"{i}")
        write_parquet(part, paths[-1], row_group_rows=6)
    with ParquetRows(paths, ["values"]) as files:
        assert len(files) == 42
        wanted = np.array(rows, dtype=np.int64)
        found = files.take(wanted)
        file, row = files.place_of(wanted)
    assert found.column_names == ["values"]
    assert found["values"].to_pylist() == [
        parts[i]["values"][j].as_py() for i, j in zip(file.tolist(), row.tolist(), strict=True)
    ]


def test_rows_of_a_file_that_is_no_parquet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_parquet(table(300), path)
    with pytest.raises(DataError, match="no column signal; found name, values"):
        ParquetRows([path], ["signal"])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"part.parquet: not a readable Parquet file"):
        ParquetRows([path], ["name"])
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    with (
        pytest.raises(DataError, match=r"part.parquet: not a readable Parquet file"),
        ParquetRows([path], ["name", "values"]) as rows,
    ):
        rows.take(np.arange(300))
