"""The members of a zip one by one, for archives whose list would fill the memory.

`zipfile` holds an object for each member. Here nothing is held, and only plain zips are read: what
is not plain, damaged zips above all, is left to `zipfile`, which says what is wrong.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
LOCAL = struct.Struct("<4s5H3L2H")
MEMBER = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")
ZIP64, FULL_16, FULL_32 = 1, 0xFFFF, 0xFFFFFFFF
UNICODE_PATH = 0x7075  # an extra field that gives the member another name
ENCRYPTED = 1
NO_DATE = (1980, 1, 1, 0, 0, 0)
CHUNK_BYTES = 2**16


class NotPlainError(Exception):
    """A zip that `zipfile` has to look at."""


def list_members(path: Path) -> Iterator[zipfile.ZipInfo]:
    """Give the members of a plain zip in the order of its list.

    Parameters
    ----------
    path : Path

    Yields
    ------
    ZipInfo
        As of `zipfile.ZipFile.infolist`, with name, method, flags, CRC, sizes, offset and
        ``external_attr``; the date is not read.

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
        for _ in range(n_members):
            info, length = _member(file)
            n_bytes -= length
            yield info
    if n_bytes:
        raise NotPlainError


def read_member(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Give the content of a member piece by piece.

    Parameters
    ----------
    file : file open for reading bytes
        The zip. Only this may move in it meanwhile.
    info : ZipInfo
        As of `list_members`.

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
        if signature != b"PK\x06\x07":
            raise NotPlainError
        file.seek(end)
        found = _unpacked(END_64, file)
        if found[0] != b"PK\x06\x06":
            raise NotPlainError
        disk, first_disk, n_here, n_members, length, offset = found[4:]
    if disk or first_disk or n_here != n_members or offset + length != end:
        raise NotPlainError
    return n_members, length, offset


def _member(file: BinaryIO) -> tuple[zipfile.ZipInfo, int]:
    """Read one entry of the list, and tell its length."""
    found = _unpacked(MEMBER, file)
    name, extra = file.read(found[10]), file.read(found[11])
    file.seek(found[12], 1)
    if found[0] != b"PK\x01\x02" or len(name) != found[10] or len(extra) != found[11]:
        raise NotPlainError
    if not name or not name.isascii() or b"\0" in name or b"\\" in name:
        raise NotPlainError
    info = zipfile.ZipInfo(name.decode("ascii"), NO_DATE)
    info.flag_bits, info.compress_type = found[3], found[4]
    info.CRC, info.external_attr = found[7], found[15]
    numbers = [found[9], found[8], found[16]]  # in the order of the field for large ones
    while extra:
        kind, length = struct.unpack_from("<HH", extra) if len(extra) >= 4 else (UNICODE_PATH, 0)
        if kind == UNICODE_PATH or len(extra) < 4 + length:
            raise NotPlainError
        if kind == ZIP64:
            large = list(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            numbers = [large.pop(0) if large and n == FULL_32 else n for n in numbers]
        extra = extra[4 + length :]
    if FULL_32 in numbers:
        raise NotPlainError
    info.file_size, info.compress_size, info.header_offset = numbers
    return info, MEMBER.size + sum(found[10:13])


def _unpacked(layout: struct.Struct, file: BinaryIO) -> tuple[Any, ...]:
    content = file.read(layout.size)
    if len(content) < layout.size:
        raise NotPlainError
    return layout.unpack(content)
