"""Outputs appear whole or not at all."""

import errno
import logging
import multiprocessing
from pathlib import Path

import pytest

import openecg.__main__
from openecg.files import written_aside


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
