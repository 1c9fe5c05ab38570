"""Plain zips are listed and read as zipfile does; others are left to it."""

import hashlib
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openecg.archive import Archive
from openecg.errors import DataError
from openecg.zipdir import NotPlainError, list_blocks, read_member

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def zipped(members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return content.getvalue()


def list_members(path: Path) -> Iterator[zipfile.ZipInfo]:
    for block in list_blocks(path):
        yield from block.infos(range(len(block.names)))


def read(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {info.filename: b"".join(read_member(file, info)) for info in list_members(path)}


@given(
    st.dictionaries(st.text("abc/.", min_size=1, max_size=8), st.binary(max_size=300), max_size=9),
    st.sampled_from(METHODS),
)
def test_members_are_those_of_zipfile(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes], method: int
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(zipped(members, method=method))
    assert read(path) == members
    with zipfile.ZipFile(path) as whole:
        for own, theirs in zip(list_members(path), whole.infolist(), strict=True):
            for name in ("filename", "CRC", "file_size", "compress_size", "header_offset"):
                assert getattr(own, name) == getattr(theirs, name)
            for name in ("compress_type", "flag_bits", "external_attr"):
                assert getattr(own, name) == getattr(theirs, name)


@pytest.mark.parametrize("text", [bytes(2**20), random.Random(0).randbytes(2**20)])
@pytest.mark.parametrize("method", METHODS)
def test_large_members_come_in_bounded_pieces(tmp_path: Path, text: bytes, method: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a": b"1", "b": text, "c": b""}, method=method))
    infos = list(list_members(path))
    with path.open("rb") as file:
        pieces = list(read_member(file, infos[1]))
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= 2**16


def test_more_members_than_sixteen_bits_count(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(66_000):
            file.writestr(zipfile.ZipInfo(f"{i}"), b"")
    assert [info.filename for info in list_members(path)] == [str(i) for i in range(66_000)]


def test_large_sizes_are_read_from_their_field(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file, file.open("a", "w", force_zip64=True) as member:
        member.write(b"text")
    assert read(path) == {"a": b"text"}


@given(st.data())
def test_a_damaged_zip_gives_the_right_content_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    members = {"top/a": b"one" * 50, "top/b": bytes(range(256)), "top/c": b""}
    content = bytearray(zipped(members))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(content[: data.draw(st.sampled_from([None, len(content) // 2, -1, -20]))])
    try:
        found = read(path)
    except NotPlainError:
        return
    assert all(text in members.values() for text in found.values())


@pytest.mark.parametrize(
    "members", [{"ä": b""}, {"a\\b": b""}], ids=["another alphabet", "a backslash"]
)
def test_odd_names_are_left_to_zipfile(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(members))
    with pytest.raises(NotPlainError):
        list(list_members(path))


def listed(path: Path, keep: Callable[[str], bool] | None) -> list[str] | str:
    try:
        with Archive(path, keep=keep) as archive:
            return [archive.top, *archive.members]
    except DataError as error:
        return str(error)


@given(
    st.lists(st.text("ab./:\n", min_size=1, max_size=5), max_size=6, unique=True),
    st.sampled_from(["t/", "__MACOSX/", ""]),
)
def test_an_archive_is_checked_alike_whatever_is_kept(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], folder: str
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(zipped({"t/a": b"text"} | {folder + name: b"" for name in names}))
    assert listed(path, lambda member: True) == listed(path, None)


def test_an_archive_that_keeps_some_members_reads_all(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    members = {f"top/data/{i}.hea": f"{i}".encode() for i in range(20)} | {"top/README": b"text"}
    path.write_bytes(zipped(members))
    with Archive(path, keep=lambda member: member == "data/7.hea") as kept:
        assert list(kept.members) == ["data/7.hea"]
        assert kept.read("data/7.hea") == b"7"
        assert list(kept.members) == ["data/7.hea"]
        assert kept.read("README") == b"text"  # zipfile lists the others then
        assert len(kept.members) == 21
        with pytest.raises(DataError, match=r"no member data/77.hea in the top folder top"):
            kept.read("data/77.hea")


def test_sums_hold_for_members_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    wrong = "0" * 64
    sums = f"{wrong} a\n{hashlib.sha256(b'b').hexdigest()} b\n"
    path.write_bytes(zipped({"top/a": b"a", "top/b": b"b", "top/SHA256SUMS.txt": sums.encode()}))
    for keep in (None, lambda member: member in "ab"):
        with Archive(path, keep=keep) as archive:
            archive.require_sums()
            with pytest.raises(DataError, match=r"member a has SHA-256 .* gives 0000"):
                archive.read("a")
            assert archive.read("b") == b"b"
    bad = f"{wrong} a\nno sum\n"
    path.write_bytes(zipped({"top/a": b"a", "top/SHA256SUMS.txt": bad.encode()}))
    with pytest.raises(DataError, match="line 2: 'no sum' is not a sum and a path"):
        Archive(path, keep=lambda member: True)
