from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from openecg.archive import Archive
from openecg.datasets import qtdb
from openecg.errors import DataError
from openecg.waves import NOT_MARKED, QRS, P, T
from tests.unit.tiny_zips import backward_marks, marks_file, wfdb_files, write_zip


def test_both_leads_carry_the_marks_of_the_expert(tmp_path: Path) -> None:
    with Archive(write_zip(tmp_path / "x.zip", "qtdb")) as archive:
        infos = qtdb.list_records(archive)
        first, second = (qtdb.read_record(archive, info.record_id) for info in infos)
    assert [info.record_id for info in infos] == ["sel100", "sel30"]
    assert {(info.rhythm, info.conduction, info.paced, info.published_split) for info in infos} == {
        ("", "", False, None)
    }
    assert [(lead.name, lead.lead_index) for lead in first.leads] == [("MLII", 1), ("V5", 10)]
    assert [(lead.name, lead.lead_index) for lead in second.leads] == [("ECG1", 1), ("D3", 2)]
    for lead in first.leads:
        np.testing.assert_array_equal(lead.waves.on, [20, 60, 100])
        assert lead.signal.shape == (501,)
    np.testing.assert_allclose(first.leads[1].signal[:2], [0.5, 0.505], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "like"),
    [("I", 0), ("aVF", 5), ("V1", 6), ("CM2", 7), ("CM4", 9), ("CM5", 10), ("CC5", 10),
     ("ML5", 10), ("D4", 2), ("MLIII", 2), ("mod.V1", 6), ("V1-V2", 6), ("V2-V3", 7),
     ("V4-V5", 9), ("ECG2", 1), ("whatever", 1)],
)  # fmt: skip
def test_lead_index_is_that_of_the_lead_most_alike(name: str, like: int) -> None:
    assert qtdb.lead_index(name) == like


def test_gain_zero_means_200_counts_per_mv(tmp_path: Path) -> None:
    header = wfdb_files(
        "sel100", fs_hz=250, n_samples=501, leads=("MLII", "v5"), fmt="212", gain=200.0
    )["sel100.hea"]
    assert header.count(b"200.0(0)/mV") == 2
    changes = {
        "sel100.hea": header.replace(b"200.0(0)/mV", b"0").replace(b"2 250 501", b"2 250/360 501")
    }
    with Archive(write_zip(tmp_path / "x.zip", "qtdb", changes)) as archive:
        record = qtdb.read_record(archive, "sel100")
    assert record.fs_hz == 250
    np.testing.assert_allclose(record.leads[0].signal[:3], [0, 0.005, 0.01], atol=1e-7)


def test_u_waves_are_dropped_with_their_brackets_and_beats_are_qrs(tmp_path: Path) -> None:
    text = "( p ) ( A ) t ( u ) ( t u ) ( V ) t ) ( u"
    symbols = text.split()
    samples = 10 * np.arange(1, len(symbols) + 1)
    changes = {"sel100.q1c": marks_file(samples, symbols)}
    with Archive(write_zip(tmp_path / "x.zip", "qtdb", changes)) as archive:
        got, kept = qtdb.read_marks(archive, "sel100", "q1c")
        waves = qtdb.read_waves(archive, "sel100", "q1c")
    assert kept == symbols
    np.testing.assert_array_equal(got, samples)
    np.testing.assert_array_equal(waves.kind, [P, QRS, T, T, QRS, T])
    np.testing.assert_array_equal(waves.on, [10, 40, NOT_MARKED, 110, 150, NOT_MARKED])
    np.testing.assert_array_equal(waves.off, [30, 60, NOT_MARKED, NOT_MARKED, 170, 190])


def test_refuses_an_unknown_annotator_symbol_or_record(tmp_path: Path) -> None:
    changes = {"sel30.pu1": marks_file(np.array([60, 70, 80]), ["(", "L", ")"]), "sel30.q1c": None}
    changes["sel30.pu0"] = backward_marks()
    with Archive(write_zip(tmp_path / "x.zip", "qtdb", changes)) as archive:
        for message, extension in (
            ("unknown annotator 'q2c'; allowed are q1c, pu0, pu1", "q2c"),
            (r"sel30\.pu1: unknown annotation symbol 'L' at sample 70; allowed are", "pu1"),
            (r"no member sel30\.q1c", "q1c"),
            (r"sel30\.pu0: marks must be in time order, but sample 28 follows", "pu0"),
        ):
            for read in (qtdb.read_marks, qtdb.read_waves):
                with pytest.raises(DataError, match=message):
                    read(archive, "sel30", extension)
        with pytest.raises(DataError, match=r"no member sel1\.hea"):
            qtdb.read_record(archive, "sel1")


def test_refuses_invalid_samples(tmp_path: Path) -> None:
    files = wfdb_files(
        "sel100", fs_hz=250, n_samples=501, leads=("MLII", "v5"), fmt="212", gain=200.0
    )
    dat = bytearray(files["sel100.dat"])
    dat[0], dat[1] = 0x00, dat[1] & 0xF0 | 0x08  # first sample -2048, which marks a gap
    with (
        Archive(write_zip(tmp_path / "x.zip", "qtdb", {"sel100.dat": bytes(dat)})) as archive,
        pytest.raises(DataError, match=r"record sel100: lead MLII has 1 invalid samples"),
    ):
        qtdb.read_record(archive, "sel100")


@pytest.mark.real
def test_real_qtdb_holds_the_known_expert_marks(real_zip: Callable[[str], Path]) -> None:
    n_marked = n_onsets = 0
    without_p = []
    with Archive(real_zip("qtdb")) as archive:
        infos = qtdb.list_records(archive)
        for info in infos:
            waves = qtdb.read_waves(archive, info.record_id, "q1c")
            n_marked += np.count_nonzero(waves.kind == T)
            n_onsets += np.count_nonzero((waves.kind == T) & (waves.on != NOT_MARKED))
            if not np.any(waves.kind == P):
                without_p.append(info.record_id)
            assert (waves.off != NOT_MARKED).all()
        record = qtdb.read_record(archive, "sel14046")  # gain 0, header "250/128"
        dense = [qtdb.read_waves(archive, "sel14046", annotator) for annotator in ("pu0", "pu1")]
    assert len(infos) == 105
    assert (n_onsets, n_marked) == (1412, 3542)
    assert without_p == ["sel102", "sel221", "sel232", "sel310", "sel35", "sel37", "sel50"]
    assert record.fs_hz == 250
    assert [(lead.name, lead.lead_index) for lead in record.leads] == [("ECG1", 1), ("ECG2", 1)]
    for lead in record.leads:
        assert lead.signal.size == 224_999
        assert 0.5 < np.ptp(lead.signal) < 20  # mV
    assert min(np.count_nonzero(waves.kind == QRS) for waves in dense) > 900
