"""Made-up archives: as published in layout, as constructed in content."""

import ast
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

import openecg.simulate
from openecg.archive import Archive
from openecg.datasets.base import load_layout
from openecg.errors import ConfigError
from openecg.leads import LEADS
from openecg.simulate import (
    ANNOTATION_CODES,
    LUDB_COLUMNS,
    QTDB_MARKED_BEATS,
    TOP_FOLDERS,
    Simulated,
    encode_212,
    encode_marks,
    simulate,
    simulated_records,
)
from openecg.simulation import KINDS
from openecg.waves import NOT_MARKED, QRS, P, T, pair_marks

Made = Callable[[str], tuple[Path, Path]]
Truth = Callable[[str], list[Simulated]]
RealZip = Callable[[str], Path]

RECORDS = {"ludb": 16, "qtdb": 4, "isp": 4}
SEED = 7


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, truth: Truth) -> Made:
    """Write each archive once; return the zip and the folder it was unpacked to."""
    folder = tmp_path_factory.mktemp("made")

    def write(layout: str) -> tuple[Path, Path]:
        archive = folder / f"{layout}.zip"
        if not archive.exists():
            with pytest.MonkeyPatch.context() as patch:  # 15 min take long to make
                patch.setattr(
                    openecg.simulate, "simulated_records", lambda layout, **_: iter(truth(layout))
                )
                simulate(layout=layout, records=RECORDS[layout], seed=SEED, archive=archive)
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(folder / layout)
        return archive, folder / layout / TOP_FOLDERS[layout]

    return write


@pytest.fixture(scope="session")
def truth() -> Truth:
    known: dict[str, list[Simulated]] = {}

    def get(layout: str) -> list[Simulated]:
        if layout not in known:
            known[layout] = list(simulated_records(layout, records=RECORDS[layout], seed=SEED))
        return known[layout]

    return get


def same_marks(base: Path, extension: str, record: Simulated) -> None:
    marks = wfdb.rdann(str(base), extension)
    found = pair_marks(np.asarray(marks.sample, dtype=np.int64), marks.symbol)
    expected = record.marks[extension]
    assert found.kind.tolist() == expected.kind.tolist()
    assert found.marks.tolist() == expected.marks.tolist()


def offset_mv(header: Path) -> float:
    """Offset that headers of QTDB leave in: zero is at 1024 units, but they say it is at 0."""
    return 1024 / 200 if "200(0) 11 1024" in header.read_text() else 0.0


def test_ludb_has_every_member(made: Made) -> None:
    _, top = made("ludb")
    names = [str(i + 1) for i in range(RECORDS["ludb"])]
    files = {"README", "RECORDS", "ANNOTATORS", "SHA256SUMS.txt", "ludb.csv"}
    for name in names:
        files |= {f"data/{name}.{end}" for end in ["hea", "dat", *map(str.lower, LEADS)]}
    assert {str(path.relative_to(top)) for path in top.rglob("*.*")} | {
        "README",
        "RECORDS",
        "ANNOTATORS",
    } == files
    assert (top / "RECORDS").read_text().split() == [f"data/{name}" for name in names]
    rows = list(csv.reader(io.StringIO((top / "ludb.csv").read_text(), newline="")))
    assert rows[0] == LUDB_COLUMNS
    assert [row[0] for row in rows[1:]] == names
    assert {row[1] for row in rows[1:]} == {"M\n", "F\n"}
    assert {row[3] for row in rows[1:]} == {kind.rhythm for kind in KINDS}
    assert sum(bool(row[8]) for row in rows[1:]) == 2


def test_ludb_reads_back_as_constructed(made: Made, truth: Truth) -> None:
    _, top = made("ludb")
    for record in truth("ludb")[:6]:
        base = top / "data" / record.record_id
        read = wfdb.rdrecord(str(base))
        assert (read.fs, read.sig_len) == (500, 5000)
        assert read.sig_name == [lead.lower() for lead in LEADS]
        assert set(read.fmt) == {"16"}
        assert set(read.units) == {"mV"}
        assert any(comment.startswith("Rhythm: ") for comment in read.comments)
        np.testing.assert_allclose(read.p_signal.T, record.strip.signal, atol=0.5e-3 + 1e-9)
        for lead in ("I", "V4"):  # the others: test_the_loader_gives_what_was_constructed
            same_marks(base, lead.lower(), record)
        stored = wfdb.rdrecord(str(base), physical=False).d_signal
        assert [c % 65536 for c in read.checksum] == (stored.sum(axis=0) % 65536).tolist()
        assert read.init_value == stored[0].tolist()


def test_ludb_marks_leave_the_edges_out_and_begin_and_end_mostly_with_a_qrs(truth: Truth) -> None:
    leads = [waves for record in truth("ludb") for waves in record.marks.values()]
    first_s = np.array([waves.on[waves.on != NOT_MARKED][0] for waves in leads]) / 500
    last_s = 10 - np.array([waves.off[waves.off != NOT_MARKED][-1] for waves in leads]) / 500
    for edge_s in (first_s, last_s):
        assert edge_s.min() > 0.5
        assert 1.0 < np.median(edge_s) < 1.7
    assert np.mean([waves.kind[0] == QRS for waves in leads]) > 0.8
    assert np.mean([waves.kind[-1] == QRS for waves in leads]) > 0.8
    incomplete = sum(int((~waves.complete).sum()) for waves in leads)
    assert 0 < incomplete < 0.02 * sum(len(waves.kind) for waves in leads)


def test_qtdb_reads_back_as_constructed(made: Made, truth: Truth) -> None:
    _, top = made("qtdb")
    names = (top / "RECORDS").read_text().split()
    gains = []
    for name, record in zip(names, truth("qtdb"), strict=True):
        assert name == record.record_id
        for end in ("hea", "dat", "atr", "q1c", "pu0", "pu1"):
            assert (top / f"{name}.{end}").exists()
        read = wfdb.rdrecord(str(top / name))
        assert (read.fs, set(read.fmt), read.n_sig) == (250, {"212"}, 2)
        assert read.sig_len in (225000, 224999, 224993)
        np.testing.assert_allclose(
            read.p_signal.T - offset_mv(top / f"{name}.hea"),
            record.strip.signal,
            atol=0.5 / 200 + 1e-9,
        )
        gains.append((top / f"{name}.hea").read_text().splitlines()[1].split()[2])
        for extension in ("q1c", "pu0", "pu1"):
            same_marks(top / name, extension, record)
            marks = wfdb.rdann(str(top / name), extension)
            assert set(marks.chan) == {int(extension == "pu1")}
            closing = {
                symbol: set(marks.num[1:][before == symbol])
                for symbol in "pNt"
                for before in [np.where(np.array(marks.symbol[1:]) == ")", marks.symbol[:-1], "")]
            }
            assert closing["N"] == {1}
            assert closing["t"] == {2}
        beats = wfdb.rdann(str(top / name), "atr")
        is_qrs = record.strip.wave_kind == QRS
        assert beats.sample.tolist() == record.strip.peak[0, is_qrs].tolist()
    assert set(gains) == {"0", "200", "200(0)"}


def test_qtdb_expert_marks_about_thirty_beats_and_not_every_t_onset(truth: Truth) -> None:
    shares = []
    for record in truth("qtdb"):
        expert = record.marks["q1c"]
        assert (expert.kind == QRS).sum() == QTDB_MARKED_BEATS
        gaps = np.diff(expert.peak) > 50 * 250
        assert gaps.sum() <= 1
        t_on = expert.on[expert.kind == T]
        shares.append(float(np.mean(t_on != NOT_MARKED)))
        assert np.all(expert.complete[expert.kind != T])
    assert min(shares) == 0.0
    assert max(shares) == 1.0
    assert any(0 < share < 1 for share in shares)
    assert any(not np.any(record.marks["q1c"].kind == P) for record in truth("qtdb"))
    clusters = [int((np.diff(r.marks["q1c"].peak) > 50 * 250).sum()) for r in truth("qtdb")]
    assert set(clusters) == {0, 1}


def test_qtdb_automatic_marks_are_dense_and_near_the_truth(truth: Truth) -> None:
    for record in truth("qtdb"):
        strip = record.strip
        for row, extension in enumerate(("pu0", "pu1")):
            found = record.marks[extension]
            true_on = strip.on[row, strip.wave_kind == QRS]
            on = found.on[found.kind == QRS]
            assert len(on) >= len(true_on) - 2
            error = np.array([np.abs(true_on - sample).min() for sample in on])
            assert error.max() <= 12
            assert 1 <= error.mean() <= 4


def test_isp_reads_back_as_constructed(made: Made, truth: Truth) -> None:
    _, top = made("isp")
    targets = {}
    for split in ("train", "test"):
        text = (top / f"{split}_isp_delineation_data.csv").read_text()
        for row in csv.DictReader(io.StringIO(text)):
            targets[split, row["file_name"]] = ast.literal_eval(row["target"])
    assert set(targets) == {("train", "1"), ("train", "2"), ("train", "3"), ("test", "1")}
    for record in truth("isp"):
        read = wfdb.rdrecord(str(top / f"{record.split}_data" / record.record_id))
        assert (read.fs, read.n_sig) == (1000, 12)
        assert read.sig_len in (9998, 9999)
        waves = record.marks["target"]
        assert targets[record.split, record.record_id] == [
            ({P: 0, QRS: 1, T: 2}[int(kind)], on, off)
            for kind, on, off in zip(waves.kind, waves.on.tolist(), waves.off.tolist(), strict=True)
        ]
        assert np.all(record.strip.on == waves.on)
        assert len(waves.kind) == len(record.strip.wave_kind)


@pytest.mark.parametrize("layout", ["ludb", "qtdb", "isp"])
def test_the_loader_gives_what_was_constructed(layout: str, made: Made, truth: Truth) -> None:
    archive, top = made(layout)
    loader = load_layout(layout)
    with Archive(archive) as opened:
        infos = loader.list_records(opened)
        for info, record in zip(infos, truth(layout), strict=True):
            if layout == "ludb":
                assert info.rhythm == record.strip.kind.rhythm.partition("\n")[0]
                assert info.conduction == record.strip.kind.conduction
                assert info.paced == bool(record.strip.kind.pacing)
            if layout == "isp":
                assert info.published_split == record.split
            read = loader.read_record(opened, info.record_id)
            assert read.fs_hz == record.strip.fs_hz
            for row, lead in enumerate(read.leads):
                offset = offset_mv(top / f"{info.record_id}.hea") if layout == "qtdb" else 0.0
                np.testing.assert_allclose(
                    lead.signal - offset, record.strip.signal[row], atol=0.003
                )
                expected = record.marks[
                    {"ludb": lead.name.lower(), "qtdb": "q1c", "isp": "target"}[layout]
                ]
                assert lead.waves.kind.tolist() == expected.kind.tolist()
                assert lead.waves.marks.tolist() == expected.marks.tolist()


@pytest.mark.parametrize("layout", ["ludb", "qtdb"])
def test_sums_cover_all_other_members(layout: str, made: Made) -> None:
    _, top = made(layout)
    sums = dict(
        reversed(line.split()) for line in (top / "SHA256SUMS.txt").read_text().splitlines()
    )
    files = {str(p.relative_to(top)) for p in top.rglob("*") if p.is_file()}
    assert set(sums) == files - {"SHA256SUMS.txt"}
    for name, found in sums.items():
        assert hashlib.sha256((top / name).read_bytes()).hexdigest() == found


@pytest.mark.parametrize("layout", ["ludb", "qtdb", "isp"])
def test_same_seed_same_bytes_and_said_to_be_simulated(
    layout: str, made: Made, tmp_path: Path
) -> None:
    archive, top = made(layout)
    assert "Simulated" in (top / "README").read_text()
    assert all("Simulated" in path.read_text() for path in top.rglob("*.hea"))
    again = tmp_path / "again.zip"
    simulate(layout=layout, records=RECORDS[layout], seed=SEED, archive=again)
    assert again.read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
        assert names == sorted(names)
        assert {name.partition("/")[0] for name in names} == {TOP_FOLDERS[layout]}
        assert {info.date_time for info in zipped.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_other_seed_other_bytes(tmp_path: Path) -> None:
    for seed in (0, 1):
        simulate(layout="isp", records=2, seed=seed, archive=tmp_path / f"{seed}.zip")
    assert (tmp_path / "0.zip").read_bytes() != (tmp_path / "1.zip").read_bytes()


def test_a_longer_archive_begins_with_the_shorter_one() -> None:
    short = next(simulated_records("ludb", records=2, seed=0))
    long = next(simulated_records("ludb", records=3, seed=0))
    assert short.strip.signal.tobytes() == long.strip.signal.tobytes()


@pytest.mark.parametrize(
    ("layout", "records", "seed", "said"),
    [
        ("ptbxl", 2, 0, "layout: found 'ptbxl'; allowed are isp, ludb, qtdb"),
        ("ludb", 1, 0, "records: found 1"),
        ("ludb", 2, -1, "seed: found -1"),
    ],
)
def test_wrong_settings_are_refused(
    layout: str, records: int, seed: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        simulate(layout=layout, records=records, seed=seed, archive=tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_marks_are_encoded_as_wfdb_does_it(tmp_path: Path) -> None:
    samples = np.array([0, 5, 1028, 2052, 70000, 70001, 200000])
    symbols = ["(", "p", ")", "N", "t", "/", "V"]
    wfdb.wrann("x", "ann", samples, symbols, write_dir=str(tmp_path))
    assert encode_marks(samples, symbols) == (tmp_path / "x.ann").read_bytes()


def test_format_212_keeps_every_value(tmp_path: Path) -> None:
    values = np.arange(-2048, 2048)
    digital = np.stack([values, values[::-1]])
    (tmp_path / "x.hea").write_text("x 2 250 4096\nx.dat 212 200 12 0\nx.dat 212 200 12 0\n")
    (tmp_path / "x.dat").write_bytes(encode_212(digital))
    read = wfdb.rdrecord(str(tmp_path / "x"), physical=False).d_signal
    assert np.array_equal(read.T, digital)


@pytest.mark.real
def test_encoder_repeats_the_bytes_of_ludb(real_zip: RealZip, tmp_path: Path) -> None:
    top = TOP_FOLDERS["ludb"]
    with zipfile.ZipFile(real_zip("ludb")) as zipped:
        for extension in ("i", "avl", "v6"):
            content = zipped.read(f"{top}/data/1.{extension}")
            (tmp_path / f"1.{extension}").write_bytes(content)
            marks = wfdb.rdann(str(tmp_path / "1"), extension)
            assert set(marks.symbol) <= set(ANNOTATION_CODES)
            assert encode_marks(np.asarray(marks.sample, np.int64), marks.symbol) == content


@pytest.mark.real
@pytest.mark.parametrize("layout", ["ludb", "qtdb"])
def test_files_are_named_as_in_the_published_archive(
    layout: str, made: Made, real_zip: RealZip
) -> None:
    archive, _ = made(layout)
    with zipfile.ZipFile(archive) as ours, zipfile.ZipFile(real_zip(layout)) as real:
        kinds = [
            {
                (name.rpartition("/")[0], name.rpartition(".")[2] if "." in name[-5:] else name)
                for name in zipped.namelist()
                if not name.endswith("/")
            }
            for zipped in (ours, real)
        ]
        assert {kind for kind in kinds[0] if "README" not in kind[1]} <= kinds[1]
        if layout == "ludb":
            heading = f"{TOP_FOLDERS['ludb']}/ludb.csv"
            assert ours.read(heading).split(b"\n")[0] == real.read(heading).split(b"\n")[0]


@pytest.mark.parametrize("layout", ["ludb", "isp"])
def test_the_zip_is_the_one_that_zipfile_writes_at_once(
    made: Made, tmp_path: Path, layout: str
) -> None:
    archive, _ = made(layout)
    with zipfile.ZipFile(archive) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    assert list(members) == sorted(members)
    with zipfile.ZipFile(tmp_path / "again.zip", "w", zipfile.ZIP_DEFLATED) as again:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            again.writestr(info, content)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert not list(archive.parent.glob(".simulate*"))
