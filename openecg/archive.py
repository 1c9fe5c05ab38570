"""Read the files of a data set straight from its zip, and refuse a zip that cannot be trusted."""

import hashlib
import logging
import stat
import zipfile
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from openecg.errors import DataError
from openecg.zipdir import Block, NotPlainError, list_blocks, read_member

log = logging.getLogger(__name__)

SUMS = "SHA256SUMS.txt"
# The largest file of the supported data sets, the CSV of ISP, holds a few MB.
MAX_MEMBER_BYTES = 256 * 2**20
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
MACOS = "__MACOSX/"  # what the macOS archiver adds; no data
# What `_fault` may not like in names, of which each has a line.
NOT_PLAIN = [f"{a}{part}{b}" for part in (".", "..") for a in "\n/" for b in "\n/"]
NOT_PLAIN += ["//", "\n/", ":"]
# What zipfile raises on damaged files.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Archive:
    """A data set zip, open for reading; a context manager.

    All files lie in one top folder, and members are named relative to it. Where the top folder
    holds ``SHA256SUMS.txt``, as PhysioNet releases do, each file is checked against it when read.

    Parameters
    ----------
    path : Path
        The zip. Nothing of it is unpacked.
    keep : callable, optional
        Takes the path of a file inside the top folder, says whether it may be read. Of a plain zip
        (`openecg.zipdir`) the others are checked like all, and then forgotten, so that the list of
        a large archive takes no memory.

    Attributes
    ----------
    path : Path
        The zip.
    top : str
        Name of the top folder.
    members : dict of str to ZipInfo
        Files by their path inside the top folder, in the order of the zip.

    Raises
    ------
    DataError
        If the file is missing, no zip or cut short; if a member climbs out of the zip, is
        absolute, a link, there twice, encrypted, compressed by none of ``METHODS`` or larger than
        ``MAX_MEMBER_BYTES``; if there is no single top folder.
    """

    def __init__(self, path: Path, *, keep: Callable[[str], bool] | None = None) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._file: BinaryIO | None = None
        self._sums: dict[str, str] | None = None
        if keep is not None:
            try:
                self.top, self.members = _kept_members(path, keep)
                self._file = path.open("rb")
                if SUMS in self.members:
                    self._sums = _kept_sums(self._file, self.members[SUMS], self.members)
            except (NotPlainError, OSError):
                self._close()  # zipfile says what is wrong
            else:
                return
        self._open_whole()

    def _open_whole(self) -> None:
        """Let zipfile list and read the members, whatever was kept."""
        self._close()
        self._sums = None
        try:
            self._zip = zipfile.ZipFile(self.path)
        except DAMAGED as error:
            raise DataError(not_a_zip(self.path, error)) from error
        try:
            self.top, self.members = self._list(self._zip)
            self._sums = self._read_sums() if SUMS in self.members else None
        except DataError:
            self._close()
            raise

    def __enter__(self) -> Self:
        """Return the open archive."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the zip."""
        self._close()

    def _close(self) -> None:
        for opened in (self._zip, self._file):
            if opened is not None:
                opened.close()
        self._zip = self._file = None

    def read(self, member: str) -> bytes:
        """Return the bytes of a file, checked against the sums of the release.

        Parameters
        ----------
        member : str
            Path inside the top folder, such as ``data/1.hea``.

        Raises
        ------
        DataError
            If the zip has no such file, or it is damaged, or it differs from the release.
        """
        content = self._read(member)
        if self._sums is not None:
            found = hashlib.sha256(content).hexdigest()
            if member not in self._sums:
                raise DataError(f"{self.path}: member {member} is not listed in {SUMS}")
            if found != self._sums[member]:
                raise DataError(
                    f"{self.path}: member {member} has SHA-256 {found}, "
                    f"but {SUMS} gives {self._sums[member]}; download it again"
                )
        return content

    def read_text(self, member: str) -> str:
        """Return a UTF-8 text file, with line ends as they are; errors as `read`."""
        return self._decode(member, self.read(member))

    def require_sums(self) -> None:
        """Raise DataError if the sums are missing, for releases that are published with them."""
        if self._sums is None:
            raise DataError(f"{self.path}: no member {SUMS} in the top folder {self.top}")

    def _list(self, opened: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
        """Check the list of members and find the top folder."""
        members: dict[str, zipfile.ZipInfo] = {}
        for info in opened.infolist():
            name = info.filename
            if name.startswith(MACOS):
                continue
            fault = _fault(info)
            if fault:
                raise DataError(f"{self.path}: member {name!r} {fault}")
            if name in members:
                raise DataError(f"{self.path}: member {name!r} is there twice")
            members[name] = info
        tops = sorted({name.split("/")[0] for name in members})
        if len(tops) != 1 or tops[0] in members:
            found = ", ".join(tops[:3]) + (", ..." if len(tops) > 3 else "")
            raise DataError(
                f"{self.path}: all files must lie in one top folder, found {found or 'nothing'}"
            )
        inside = {
            name.removeprefix(tops[0] + "/"): info
            for name, info in members.items()
            if not info.is_dir()
        }
        return tops[0], inside

    def _read_sums(self) -> dict[str, str]:
        """Read the published sums: one line of sum and path for each file."""
        sums = {}
        for number, line in enumerate(self._decode(SUMS, self._read(SUMS)).splitlines(), 1):
            found = _sum_of(line)
            if found is None:
                raise DataError(
                    f"{self.path}: {SUMS}, line {number}: {line[:80]!r} is not a sum and a path"
                )
            sums[found[0]] = found[1]
        return sums

    def _decode(self, member: str, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: member {member} is not UTF-8 text: {error}") from error

    def _read(self, member: str) -> bytes:
        if self._file is not None:
            if member in self.members:
                try:
                    return b"".join(read_member(self._file, self.members[member]))
                except (NotPlainError, OSError):
                    log.debug("%s: member %s is left to zipfile", self.path, member)
            self._open_whole()  # not among those that were kept, not there, or damaged
        if member not in self.members or self._zip is None:
            raise DataError(f"{self.path}: no member {member} in the top folder {self.top}")
        info = self.members[member]
        try:
            with self._zip.open(info) as file:
                # No more than it claims, or a small member could fill the memory; the one byte
                # over makes zipfile compare the CRC even if the claim is 0.
                content = file.read(info.file_size + 1)
        except DAMAGED as error:
            raise DataError(f"{self.path}: member {member} is damaged: {error}") from error
        if len(content) != info.file_size:
            raise DataError(
                f"{self.path}: member {member} is damaged: it claims {info.file_size} bytes and "
                f"holds {len(content)}"
            )
        return content


def not_a_zip(path: Path, error: BaseException) -> str:
    """Say that a file is no readable zip, and what helps if it is one that was cut off."""
    said = f"{path}: not a readable zip: {error}"
    if isinstance(error, OSError):
        return said
    size = path.stat().st_size
    return f"{said} ({size} bytes; if it was cut off, remove it, and the next run gets it again)"


def check_sha256(path: Path, expected: str) -> None:
    """Raise DataError if a file is not the one of a published sum; ``""`` is no sum, no check."""
    if not expected:
        return
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: not a readable zip: {error}") from error
    if found != expected.lower():
        raise DataError(f"{path}: sha256 is {found}, expected {expected}")


def zip_stamp(path: Path) -> str:
    """Tell zips of different content apart, by their size and their list of members.

    A member that differs has another CRC there. The content itself is not read, so this takes
    milliseconds. Times do not count: a copy that keeps an old one is seen, a fresh copy is not.

    Raises
    ------
    FileNotFoundError
        If there is no such file. One that is no zip has a stamp too, for the step that reads it
        says better what is wrong.
    """
    status = path.stat()
    return _stamp(path, status.st_size, status.st_mtime_ns)


@cache
def _stamp(path: Path, size: int, changed_ns: int) -> str:
    """Stamp a zip once per process, and again if it was replaced meanwhile."""
    try:
        digest = _hash_list(_rows(path))
    except (NotPlainError, OSError):
        try:
            with zipfile.ZipFile(path) as opened:
                digest = _hash_list(
                    (info.filename, info.CRC, info.file_size, info.header_offset)
                    for info in opened.infolist()
                )
        except DAMAGED:
            return f"{size} bytes, no zip"
    return f"{size} bytes, members {digest[:12]}"


def _rows(path: Path) -> Iterator[tuple[str, int, int, int]]:
    """Give name, CRC, size and place of the members of a plain zip."""
    for block in list_blocks(path):
        columns = (block.CRC, block.file_size, block.header_offset)
        yield from zip(block.names, *(column.tolist() for column in columns), strict=True)


def _hash_list(rows: Iterator[tuple[str, int, int, int]]) -> str:
    """Hash the list of members, as the text of a list of Python."""
    seen = hashlib.sha256(b"[")
    for number, row in enumerate(rows):
        seen.update(f"{', ' if number else ''}{row!r}".encode())
    seen.update(b"]")
    return seen.hexdigest()


def _kept_members(
    path: Path, keep: Callable[[str], bool]
) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Check the list of members, and give the top folder and those to keep.

    Raises
    ------
    NotPlainError
        If anything is to be said against one of them.
    """
    prefix = ""
    kept: dict[str, zipfile.ZipInfo] = {}
    hashes = array("q")
    for block in list_blocks(path):
        rows = [row for row, name in enumerate(block.names) if not name.startswith(MACOS)]
        if not rows:
            continue
        if len(rows) < len(block.names):
            block = block.take(rows)
        prefix = prefix or block.names[0].partition("/")[0] + "/"
        if _any_fault(block) or not all(name.startswith(prefix) for name in block.names):
            raise NotPlainError
        hashes.extend(map(hash, block.names))
        inside = [name.removeprefix(prefix) for name in block.names]
        rows = [
            row
            for row, name in enumerate(inside)
            if name and name[-1] != "/" and (name == SUMS or keep(name))
        ]
        kept |= {inside[row]: info for row, info in zip(rows, block.infos(rows), strict=True)}
    numbers = np.sort(np.frombuffer(hashes, dtype=np.int64))
    if not numbers.size or (np.diff(numbers) == 0).any():  # a name that is there twice, probably
        raise NotPlainError
    return prefix[:-1], kept


def _any_fault(block: Block) -> bool:
    """Tell whether `_fault` has, or may have, something to say about one of them."""
    lines = "\n".join(["", *block.names, ""])
    return bool(
        (block.flag_bits & 1).any()
        or not np.isin(block.compress_type, list(METHODS)).all()
        or (block.file_size > MAX_MEMBER_BYTES).any()
        or (block.external_attr >> 28 == stat.S_IFLNK >> 12).any()
        or any(text in lines for text in NOT_PLAIN)
        or lines.count("\n") != len(block.names) + 1
    )


def _kept_sums(file: BinaryIO, info: zipfile.ZipInfo, members: Collection[str]) -> dict[str, str]:
    """Read the sums of some members.

    Raises
    ------
    NotPlainError
        If it is not lines of printable ASCII, each a sum and a path.
    """
    sums = {}
    for lines in _lines(read_member(file, info)):
        text = b"\n".join(lines)
        if not text.isascii() or not text.decode("ascii").replace("\n", "").isprintable():
            raise NotPlainError
        for line in text.decode("ascii").split("\n") if lines else ():
            found = _sum_of(line)
            if found is None:
                raise NotPlainError
            if found[0] in members:
                sums[found[0]] = found[1]
    return sums


def _lines(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Divide content that comes in pieces to lines, as many as each piece ends."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        yield lines
    if rest:
        yield [rest.removesuffix(b"\r")]


def _sum_of(line: str) -> tuple[str, str] | None:
    """Take a line of sums apart to path and sum; None if it is not one."""
    digest, _, member = line.partition(" ")
    if len(digest) != 64 or not member.strip():
        return None
    return member.strip().removeprefix("*").removeprefix("./"), digest.lower()


def _fault(info: zipfile.ZipInfo) -> str:
    """Say what makes a member untrustworthy; empty if nothing."""
    name = info.filename
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or ":" in name:
        return "is not a relative path with forward slashes"
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        return "is not a plain path inside the zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link; only files and folders are allowed"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in METHODS:
        allowed = ", ".join(f"{method} ({name})" for method, name in METHODS.items())
        return f"is compressed by method {info.compress_type}; allowed are {allowed}"
    if info.file_size > MAX_MEMBER_BYTES:
        return f"claims {info.file_size} bytes; allowed are {MAX_MEMBER_BYTES}"
    return ""
