import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from openecg.archive import Archive
from openecg.datasets.annotations import parse_annotation
from tests.unit.tiny_zips import marks_file

NOTE, SKIP, AUX = 22 << 10, 59 << 10, 63 << 10
STEPS = st.lists(st.tuples(st.integers(0, 3000), st.sampled_from("()ptuNABQV")), min_size=1)


@settings(deadline=None)
@given(marks=STEPS, fs_hz=st.sampled_from([None, 250, 257.5]))
def test_reads_what_wfdb_writes(marks: list[tuple[int, str]], fs_hz: float | None) -> None:
    samples = np.cumsum([step for step, _ in marks])  # steps over 1023 need a SKIP
    found = parse_annotation(marks_file(samples, [symbol for _, symbol in marks], fs_hz))
    np.testing.assert_array_equal(found.samples, samples)
    assert found.symbols == [symbol for _, symbol in marks]
    assert found.fs_hz == fs_hz


def test_other_fields_of_a_mark_are_passed_over() -> None:
    words = struct.pack("<4H", 1 << 10 | 9, 60 << 10 | 1, 61 << 10 | 2, 62 << 10 | 3)
    words += struct.pack("<H", AUX | 3) + b"(AB\0" + struct.pack("<2H", 24 << 10 | 5, 0)
    found = parse_annotation(words)
    assert (found.samples.tolist(), found.symbols) == ([9, 14], ["N", "p"])


def test_a_mark_may_lie_before_the_one_before_it() -> None:
    found = parse_annotation(struct.pack("<6H", 1 << 10 | 60, SKIP, 0xFFFF, 0xFFE0, 1 << 10, 0))
    assert found.samples.tolist() == [60, 28]


def test_codes_without_a_symbol_keep_their_number() -> None:
    assert parse_annotation(struct.pack("<2H", 50 << 10 | 1, 0)).symbols == ["code 50"]


def test_notes_at_the_start_describe_the_file() -> None:
    def note(text: bytes) -> bytes:
        return struct.pack("<2H", NOTE, AUX | len(text)) + text + b"\0" * (len(text) % 2)

    start = note(b"## time resolution: 360") + note(b"## made by hand")  # wfdb hangs on these
    found = parse_annotation(start + struct.pack("<2H", 1 << 10 | 7, 0))
    assert (found.samples.tolist(), found.symbols, found.fs_hz) == ([7], ["N"], 360)


@pytest.mark.parametrize("kept", range(12))
def test_a_file_cut_short_anywhere_is_refused(kept: int) -> None:
    whole = marks_file(np.array([10, 2000]), ["N", "N"])
    assert len(whole) == 12
    with pytest.raises(ValueError, match="cut short"):
        parse_annotation(whole[:kept])


def test_a_file_that_goes_on_behind_its_end_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes follow the end mark"):
        parse_annotation(b"\0\0abc")


@pytest.mark.real
@pytest.mark.parametrize(("dataset", "extensions"), [("ludb", ("ii",)), ("qtdb", ("q1c", "pu0"))])
def test_real_files_are_read_as_wfdb_reads_them(
    real_zip: Callable[[str], Path], dataset: str, extensions: tuple[str, ...]
) -> None:
    with Archive(real_zip(dataset)) as archive, tempfile.TemporaryDirectory() as folder:
        for member in archive.members:
            extension = member.rpartition(".")[2]
            if extension in extensions:
                content = archive.read(member)
                Path(folder, f"x.{extension}").write_bytes(content)
                truth, found = wfdb.rdann(f"{folder}/x", extension), parse_annotation(content)
                np.testing.assert_array_equal(found.samples, truth.sample)
                assert found.symbols == truth.symbol
                assert found.fs_hz == truth.fs
