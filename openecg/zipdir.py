"""The members of a zip some at a time, for archives whose list would fill the memory.

`zipfile` holds an object for each member. Here nothing is held, and a list takes a fifth of the
time; only plain zips are read: what is not plain, damaged zips above all, is left to `zipfile`,
which says what is wrong.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

# APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
LOCAL = struct.Struct("<4s5H3L2H")
MEMBER = np.dtype(
    [
        ("signature", "S4"),
        ("made_by", "<u2"),
        ("needed_version", "u1"),
        ("reserved", "u1"),
        ("flag_bits", "<u2"),
        ("compress_type", "<u2"),
        ("time_and_date", "<u2", 2),
        ("CRC", "<u4"),
        ("compress_size", "<u4"),
        ("file_size", "<u4"),
        ("name_length", "<u2"),
        ("extra_length", "<u2"),
        ("comment_length", "<u2"),
        ("disk_and_internal", "<u2", 2),
        ("external_attr", "<u4"),
        ("header_offset", "<u4"),
    ]
)
LENGTHS, LENGTHS_AT = struct.Struct("<3H"), 28  # of name, extra fields and comment
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")
ZIP64, FULL_16, FULL_32 = 1, 0xFFFF, 0xFFFFFFFF
UNICODE_PATH = 0x7075  # an extra field that gives the member another name
ENCRYPTED = 1
NO_DATE = (1980, 1, 1, 0, 0, 0)
CHUNK_BYTES = 2**16
LIST_BYTES = 2**18
LARGEST = 2**63 - 1
NEWEST = 63  # version of the format that zipfile reads

Ints = npt.NDArray[np.int64]


class NotPlainError(Exception):
    """A zip that `zipfile` has to look at."""


class Block(NamedTuple):
    """Some members in the order of the list, with the fields of `zipfile.ZipInfo` as columns.

    Attributes
    ----------
    names : list of str
        ``filename``.
    flag_bits, compress_type, CRC, compress_size, file_size, external_attr, header_offset : ndarray
        Each of shape (n_members,), dtype int64.
    """

    names: list[str]
    flag_bits: Ints
    compress_type: Ints
    CRC: Ints
    compress_size: Ints
    file_size: Ints
    external_attr: Ints
    header_offset: Ints

    def take(self, rows: Sequence[int]) -> "Block":
        """Give some members."""
        return Block([self.names[row] for row in rows], *(column[rows] for column in self[1:]))

    def infos(self, rows: Sequence[int]) -> Iterator[zipfile.ZipInfo]:
        """Give some members as of `zipfile.ZipFile.infolist`; the date is not read."""
        columns = [column[rows].tolist() for column in self[1:]]
        for row, *numbers in zip(rows, *columns, strict=True):
            info = zipfile.ZipInfo(self.names[row], NO_DATE)
            for field, number in zip(self._fields[1:], numbers, strict=True):
                setattr(info, field, number)
            yield info


def list_blocks(path: Path) -> Iterator[Block]:
    """Give the members of a plain zip in the order of its list, some thousand at a time.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Block

    Raises
    ------
    NotPlainError
        If the zip is not plain: `zipfile` may still read it.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        n_members, n_bytes, offset = _find_list(file)
        file.seek(offset)
        rest = b""
        while n_bytes:
            piece = file.read(min(n_bytes, LIST_BYTES))
            n_bytes -= len(piece)
            content = rest + piece
            starts, end = _starts(content)
            if not piece or (not starts and not n_bytes):
                raise NotPlainError
            rest = content[end:]
            n_members -= len(starts)
            if starts:
                yield _block(content, np.array(starts))
    if n_members or rest:
        raise NotPlainError


def read_member(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Give the content of a member piece by piece.

    Parameters
    ----------
    file : file open for reading bytes
        The zip. Only this may move in it meanwhile.
    info : ZipInfo
        As of `Block.infos`.

    Raises
    ------
    NotPlainError
        At the latest after the last piece, if it is damaged, encrypted, or compressed in another
        way than deflated. No more than the size that it claims comes before.
    """
    file.seek(info.header_offset)
    head = _unpacked(LOCAL, file)
    name = file.read(head[9])
    file.seek(head[10], 1)
    known = (b"PK\x03\x04", info.compress_type, info.filename.encode("ascii"))
    if (head[0], head[3], name) != known or info.flag_bits & ENCRYPTED:
        raise NotPlainError
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotPlainError
    pieces = _pieces(file, info.compress_size)
    crc, n_bytes = 0, 0
    for piece in pieces if info.compress_type == zipfile.ZIP_STORED else _inflated(pieces):
        n_bytes += len(piece)
        if n_bytes > info.file_size:
            raise NotPlainError
        crc = zlib.crc32(piece, crc)
        yield piece
    if (n_bytes, crc) != (info.file_size, info.CRC):
        raise NotPlainError


def _pieces(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """Read so many bytes."""
    while n_bytes:
        piece = file.read(min(n_bytes, CHUNK_BYTES))
        if not piece:
            raise NotPlainError
        n_bytes -= len(piece)
        yield piece


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Undo deflation, a bounded piece at a time."""
    inflate = zlib.decompressobj(-15)
    waiting = b""
    while not inflate.eof:
        fed = waiting or next(pieces, b"")
        try:
            piece = inflate.decompress(fed, CHUNK_BYTES)
        except zlib.error:
            raise NotPlainError from None
        waiting = inflate.unconsumed_tail
        if not fed and not piece and not inflate.eof:
            raise NotPlainError  # cut short
        yield piece
    if inflate.unused_data or next(pieces, b""):
        raise NotPlainError


def _find_list(file: BinaryIO) -> tuple[int, int, int]:
    """Return number of members, length and place in bytes of their list."""
    n_bytes = file.seek(0, 2)
    file.seek(max(0, n_bytes - END.size - FULL_16))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END.size:
        raise NotPlainError
    _, disk, first_disk, n_here, n_members, length, offset, comment = END.unpack_from(tail, at)
    end = n_bytes - len(tail) + at
    if len(tail) - at != END.size + comment:
        raise NotPlainError
    if FULL_16 in (n_here, n_members) or FULL_32 in (length, offset):
        file.seek(end - LOCATOR.size if end >= LOCATOR.size else 0)
        signature, _, end, _ = _unpacked(LOCATOR, file)
        if signature != b"PK\x06\x07" or end > LARGEST:
            raise NotPlainError
        file.seek(end)
        found = _unpacked(END_64, file)
        if found[0] != b"PK\x06\x06":
            raise NotPlainError
        disk, first_disk, n_here, n_members, length, offset = found[4:]
    if disk or first_disk or n_here != n_members or offset + length != end:
        raise NotPlainError
    return n_members, length, offset


def _starts(content: bytes) -> tuple[list[int], int]:
    """Find where entries begin that are there as a whole, and where the last of them ends."""
    starts, at = [], 0
    while at + MEMBER.itemsize <= len(content):
        end = at + MEMBER.itemsize + sum(LENGTHS.unpack_from(content, at + LENGTHS_AT))
        if end > len(content):
            break
        starts.append(at)
        at = end
    return starts, at


def _block(content: bytes, starts: Ints) -> Block:
    """Read the entries that begin at some places."""
    places = starts[:, np.newaxis] + np.arange(MEMBER.itemsize)
    found = np.frombuffer(content, np.uint8)[places].view(MEMBER)[:, 0]
    if (found["signature"] != b"PK\x01\x02").any() or (found["needed_version"] > NEWEST).any():
        raise NotPlainError
    begins = starts + MEMBER.itemsize
    ends = begins + found["name_length"]
    try:
        names = [
            content[begin:end].decode("ascii")
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
    except UnicodeDecodeError:
        raise NotPlainError from None
    text = "".join(names)
    if not found["name_length"].all() or "\0" in text or "\\" in text:
        raise NotPlainError
    block = Block(names, *(found[name].astype(np.int64) for name in Block._fields[1:]))
    # In the order of the field for large ones.
    numbers = np.stack([block.file_size, block.compress_size, block.header_offset])
    for row in np.flatnonzero(found["extra_length"]).tolist():
        extra = content[ends[row] : ends[row] + found["extra_length"][row]]
        numbers[:, row] = _large_numbers(extra, numbers[:, row].tolist())
    if (numbers == FULL_32).any():
        raise NotPlainError
    file_size, compress_size, header_offset = numbers
    return block._replace(
        file_size=file_size, compress_size=compress_size, header_offset=header_offset
    )


def _large_numbers(extra: bytes, numbers: list[int]) -> list[int]:
    """Take numbers too large for the entry from its extra fields."""
    while extra:
        kind, length = struct.unpack_from("<HH", extra) if len(extra) >= 4 else (UNICODE_PATH, 0)
        if kind == UNICODE_PATH or len(extra) < 4 + length:
            raise NotPlainError
        if kind == ZIP64:
            large = list(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            numbers = [large.pop(0) if large and n == FULL_32 else n for n in numbers]
        extra = extra[4 + length :]
    if max(numbers) > LARGEST:
        raise NotPlainError
    return numbers


def _unpacked(layout: struct.Struct, file: BinaryIO) -> tuple[Any, ...]:
    content = file.read(layout.size)
    if len(content) < layout.size:
        raise NotPlainError
    return layout.unpack(content)
