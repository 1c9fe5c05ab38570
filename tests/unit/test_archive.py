import hashlib
import os
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from openecg.archive import Archive, check_sha256, zip_stamp
from openecg.errors import DataError

Write = Callable[[zipfile.ZipFile], None]
Keep = Callable[[str], bool] | None


@pytest.fixture(params=[None, lambda member: True], ids=["whole", "kept"])
def keep(request: pytest.FixtureRequest) -> Keep:
    """Both ways in which the members of a zip are listed."""
    kept: Keep = request.param
    return kept


def made(path: Path, write: Write) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("top/a.txt", "good")
        write(opened)
    return path


def test_reads_members_of_the_top_folder(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("top/sub/b.txt", "one\r\ntwo"))
    with Archive(path) as archive:
        assert archive.top == "top"
        assert list(archive.members) == ["a.txt", "sub/b.txt"]
        assert archive.read("a.txt") == b"good"
        assert archive.read_text("sub/b.txt") == "one\r\ntwo"
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


def link(opened: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("top/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    opened.writestr(info, "/etc/passwd")


def twice(opened: zipfile.ZipFile) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("top/a.txt", "other")


UNTRUSTED: list[tuple[str, Write]] = [
    ("'../x' is not a plain path", lambda z: z.writestr("../x", "")),
    ("'top/../../x' is not a plain path", lambda z: z.writestr("top/../../x", "")),
    ("'top//x' is not a plain path", lambda z: z.writestr("top//x", "")),
    ("'/etc/x' is not a relative path", lambda z: z.writestr("/etc/x", "")),
    ("is not a relative path", lambda z: z.writestr("top/..\\x", "")),
    ("is not a relative path", lambda z: z.writestr("C:/x", "")),
    ("'top/link' is a link", link),
    ("compressed by method 12", lambda z: z.writestr("top/x", "x", zipfile.ZIP_BZIP2)),
    ("'top/a.txt' is there twice", twice),
    ("one top folder, found other, top", lambda z: z.writestr("other/x", "")),
    ("one top folder, found readme, top", lambda z: z.writestr("readme", "")),
]


@pytest.mark.parametrize(("message", "write"), UNTRUSTED)
def test_refuses_what_it_cannot_trust(
    tmp_path: Path, message: str, write: Write, keep: Keep
) -> None:
    path = made(tmp_path / "x.zip", write)
    with pytest.raises(DataError) as caught:
        Archive(path, keep=keep)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_refuses_a_file_that_is_no_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip: not a readable zip"):
        Archive(tmp_path / "x.zip")


def test_refuses_no_file_an_empty_zip_and_files_without_a_folder(
    tmp_path: Path, keep: Keep
) -> None:
    with pytest.raises(DataError, match=r"x\.zip: not a readable zip: .*No such file"):
        Archive(tmp_path / "x.zip", keep=keep)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        pass
    with pytest.raises(DataError, match="one top folder, found nothing"):
        Archive(tmp_path / "x.zip", keep=keep)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr("a.txt", "")
    with pytest.raises(DataError, match=r"one top folder, found a\.txt"):
        Archive(tmp_path / "x.zip", keep=keep)


def test_refuses_a_zip_cut_short_anywhere(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("top/b.txt", "b" * 1000))
    whole = path.read_bytes()
    for kept in range(1, len(whole), 7):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=rf"not a readable zip.* \({kept} bytes; if it was cut"):
            Archive(path, keep=keep)


def test_refuses_a_member_that_claims_a_huge_size(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # central directory; the claimed size is at byte 24
    content[entry + 24 : entry + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"'top/a\.txt' claims 2147483648 bytes; allowed are"):
        Archive(path, keep=keep)


def test_refuses_a_size_of_64_bits(tmp_path: Path, keep: Keep) -> None:
    def write(opened: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("top/b.txt")
        info.extra = struct.pack("<2HQ", 1, 8, 2**63)
        opened.writestr(info, "b")

    path = made(tmp_path / "x.zip", write)
    content = bytearray(path.read_bytes())
    claimed = content.rindex(b"PK\x01\x02") + 24
    content[claimed : claimed + 4] = b"\xff" * 4  # it stands in the extra field
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"'top/b\.txt' claims {2**63} bytes; allowed are"):
        Archive(path, keep=keep)
    assert "members" in zip_stamp(path)


def test_refuses_a_newer_format(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable zip: zip file version 9\.9"):
        Archive(path, keep=keep)


def test_an_end_beyond_63_bits_is_no_bug(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    content = path.read_bytes()
    at = content.rindex(b"PK\x05\x06")
    end = bytearray(content[at:])
    end[8:12] = b"\xff" * 4  # the number of members stands elsewhere
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**63, 1)
    path.write_bytes(content[:at] + locator + end)
    with pytest.raises(DataError, match="not a readable zip: Bad magic number"):
        Archive(path, keep=keep)
    assert "no zip" in zip_stamp(path)


def test_what_macos_adds_does_not_count(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("__MACOSX/top/._a.txt", "x"))
    with Archive(path, keep=keep) as archive:
        assert (archive.top, list(archive.members)) == ("top", ["a.txt"])


def test_a_member_that_holds_more_than_it_claims_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("top/b.dat", bytes(2**26)))
    content = bytearray(path.read_bytes())
    claimed = content.rindex(b"PK\x01\x02") + 24
    content[claimed : claimed + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with Archive(path) as archive:
        tracemalloc.start()
        with pytest.raises(DataError, match=r"member b\.dat is damaged"):
            archive.read("b.dat")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**20


def test_a_member_that_claims_nothing_is_not_taken_for_empty(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    content = bytearray(path.read_bytes())
    claimed = content.rindex(b"PK\x01\x02") + 24
    content[claimed : claimed + 4] = bytes(4)
    path.write_bytes(content)
    with (
        Archive(path, keep=keep) as archive,
        pytest.raises(DataError, match=r"member a\.txt is damaged"),
    ):
        archive.read("a.txt")


def test_refuses_an_encrypted_member(tmp_path: Path, keep: Keep) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"'top/a\.txt' is encrypted"):
        Archive(path, keep=keep)


def test_names_a_missing_member_and_a_damaged_one(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    with (
        Archive(path) as archive,
        pytest.raises(DataError, match=r"x\.zip: no member b\.txt in the top folder top"),
    ):
        archive.read("b.txt")
    path = tmp_path / "y.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("top/a.txt", "plain words")
    path.write_bytes(path.read_bytes().replace(b"plain words", b"plain swords"[:11]))
    with (
        Archive(path) as archive,
        pytest.raises(DataError, match=r"y\.zip: member a\.txt is damaged"),
    ):
        archive.read("a.txt")


def test_text_must_be_utf8(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("top/b.txt", b"\xff\xfe\xff"))
    with Archive(path) as archive, pytest.raises(DataError, match=r"b\.txt is not UTF-8"):
        archive.read_text("b.txt")


def sums(text: str) -> Write:
    return lambda z: z.writestr("top/SHA256SUMS.txt", text)


def test_checks_the_sums_of_the_release(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"good").hexdigest()
    for line in (f"{digest} a.txt\n", f"{digest.upper()}  a.txt\n", f"{digest} *a.txt\n"):
        with Archive(made(tmp_path / "x.zip", sums(line))) as archive:
            assert archive.read("a.txt") == b"good"
    with (
        Archive(made(tmp_path / "x.zip", sums(f"{digest[::-1]} a.txt\n"))) as archive,
        pytest.raises(DataError, match=rf"member a\.txt has SHA-256 {digest}, but SHA256SUMS.txt"),
    ):
        archive.read("a.txt")
    with (
        Archive(made(tmp_path / "x.zip", sums(f"{digest} b.txt\n"))) as archive,
        pytest.raises(DataError, match=r"member a\.txt is not listed in SHA256SUMS\.txt"),
    ):
        archive.read("a.txt")
    with pytest.raises(DataError, match=r"SHA256SUMS\.txt, line 1: 'a\.txt' is not a sum"):
        Archive(made(tmp_path / "x.zip", sums("a.txt\n")))


def test_sums_that_a_release_must_have_are_missed(tmp_path: Path) -> None:
    with (
        Archive(made(tmp_path / "x.zip", lambda z: None)) as archive,
        pytest.raises(DataError, match=r"no member SHA256SUMS\.txt in the top folder top"),
    ):
        archive.require_sums()
    with Archive(made(tmp_path / "y.zip", sums(""))) as archive:
        archive.require_sums()


def test_a_zip_must_have_its_published_sum(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: None)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    for expected in ("", found, found.upper()):
        check_sha256(path, expected)
    with pytest.raises(DataError, match=rf"x\.zip: sha256 is {found}, expected {'0' * 64}"):
        check_sha256(path, "0" * 64)
    with pytest.raises(DataError, match=r"y\.zip: not a readable zip"):
        check_sha256(tmp_path / "y.zip", found)


def test_a_stamp_tells_content_and_not_time(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", lambda z: z.writestr("top/b.txt", "one"))
    stamp = zip_stamp(path)
    os.utime(path, (0, 0))
    assert zip_stamp(path) == stamp
    other = made(tmp_path / "y.zip", lambda z: z.writestr("top/b.txt", "two"))
    assert other.stat().st_size == path.stat().st_size
    assert zip_stamp(other) != stamp
    other.write_bytes(b"no zip")
    assert zip_stamp(other) == "6 bytes, no zip"
    with pytest.raises(FileNotFoundError):
        zip_stamp(tmp_path / "z.zip")
