from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from openecg.archive import Archive
from openecg.datasets import isp
from openecg.errors import DataError
from openecg.leads import LEADS
from openecg.waves import NOT_MARKED, QRS, P, T
from tests.unit.tiny_zips import LEADS as NAMES
from tests.unit.tiny_zips import TARGET, wfdb_files, write_zip

TABLE = "train_isp_delineation_data.csv"


def table(target: str) -> dict[str, bytes]:
    rows = "".join(f'{name},"{target}"\n' for name in ("7", "1", "3"))
    return {TABLE: f"file_name,target\n{rows}".encode()}


def test_lists_both_splits_and_keeps_records_of_one_name_apart(tmp_path: Path) -> None:
    with Archive(write_zip(tmp_path / "x.zip", "isp")) as archive:
        infos = isp.list_records(archive)
    assert [(info.record_id, info.published_split) for info in infos] == [
        ("train-7", "train"),
        ("train-1", "train"),
        ("train-3", "train"),
        ("test-1", "test"),
    ]
    assert {(info.rhythm, info.conduction, info.paced) for info in infos} == {("", "", False)}


def test_reads_twelve_leads_in_mv_with_one_annotation(tmp_path: Path) -> None:
    mixed = tuple(name.title() for name in reversed(NAMES))  # "Avr", "V6", ...
    made = wfdb_files("3", fs_hz=1000, n_samples=999, leads=mixed, unit="uV", gain=1.0)
    changes = {f"train_data/{name}": content for name, content in made.items()}
    with Archive(write_zip(tmp_path / "x.zip", "isp", changes)) as archive:
        record = isp.read_record(archive, "train-3")
    assert record.record_id == "train-3"
    assert record.fs_hz == 1000
    assert tuple(lead.name for lead in record.leads) == LEADS
    for k, lead in enumerate(record.leads):
        assert lead.signal.shape == (999,)
        np.testing.assert_allclose(lead.signal[:2], np.array([0, 1]) / 1e3 + 0.1 * (11 - k), 1e-5)
        np.testing.assert_array_equal(lead.waves.kind, [P, QRS, T])
        np.testing.assert_array_equal(lead.waves.on, [100, 300, 500])
        np.testing.assert_array_equal(lead.waves.off, [200, 400, 700])
        np.testing.assert_array_equal(lead.waves.peak, [NOT_MARKED] * 3)
        assert lead.waves.complete.all()


def test_a_record_may_hold_no_waves() -> None:
    assert isp.parse_target("[]", n_samples=10).kind.size == 0


ELEVEN = wfdb_files("3", fs_hz=1000, n_samples=999, leads=tuple(NAMES[:11]), unit="uV", gain=1.0)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("no member test_isp_delineation_data.csv", {"test_isp_delineation_data.csv": None}),
        ("no column target", {TABLE: b"file_name,age\n7,50\n"}),
        (f"{TABLE} lists no records", {TABLE: b"file_name,target\n"}),
        (f"{TABLE} lists record 7 twice", {TABLE: b"file_name,target\n7,[]\n7,[]\n"}),
        ("record 3 is in train_data/, but", {TABLE: b"file_name,target\n7,[]\n1,[]\n"}),
        (f"record 3 is in {TABLE}, but train_data/ has no", {"train_data/3.hea": None}),
    ],
)
def test_refuses_lists_of_records_that_do_not_agree(
    tmp_path: Path, message: str, changes: Mapping[str, bytes | None]
) -> None:
    path = write_zip(tmp_path / "x.zip", "isp", changes)
    with Archive(path) as archive, pytest.raises(DataError) as caught:
        isp.list_records(archive)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("record 3: target is not a list of tuples", table("[(0, 1, 2)")),
        ("record 3: target is not a list of tuples", table("")),
        ("record 3: target is not a list of tuples", table("[print(1)]")),
        ("record 3: target is not a list of tuples", table("[" * 5000)),
        ("record 3: target is not a list of tuples, found '12'", table("12")),
        ("record 3: (0, 1) is not (class, onset, offset)", table("[(0, 1)]")),
        ("record 3: (3, 1, 2) is not (class, onset, offset)", table("[(3, 1, 2)]")),
        ("record 3: (True, 1, 2) is not", table("[(True, 1, 2)]")),
        ("record 3: (0, 1.5, 2) is not", table("[(0, 1.5, 2)]")),
        ("record 3: 7 is not (class, onset, offset)", table("[7]")),
        ("record 3: span of (0, 20, 10) must go forward", table("[(0, 20, 10)]")),
        ("record 3: span of (0, -1, 10) must", table("[(0, -1, 10)]")),
        ("lie inside the record of 999 samples", table("[(0, 20, 999)]")),
        ("no lead V6", {f"train_data/{k}": v for k, v in ELEVEN.items()}),
        ("no member train_data/3.dat", {"train_data/3.dat": None}),
    ],
)
def test_refuses_a_damaged_record(
    tmp_path: Path, message: str, changes: Mapping[str, bytes | None]
) -> None:
    path = write_zip(tmp_path / "x.zip", "isp", changes)
    with Archive(path) as archive, pytest.raises(DataError) as caught:
        isp.read_record(archive, "train-3")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record_id", ["3", "val-3", "test-3", "train-"])
def test_refuses_a_record_that_is_not_there(tmp_path: Path, record_id: str) -> None:
    with (
        Archive(write_zip(tmp_path / "x.zip", "isp")) as archive,
        pytest.raises(DataError, match=f"no record '{record_id}'"),
    ):
        isp.read_record(archive, record_id)


def test_spans_come_out_in_time_order() -> None:
    waves = isp.parse_target(TARGET, n_samples=1000)
    assert np.all(np.diff(waves.on) > 0)
