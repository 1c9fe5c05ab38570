"""Download a published zip: resumable, checked, whole or not at all."""

import hashlib
import http.client
import logging
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tqdm import tqdm

from openecg.archive import DAMAGED
from openecg.errors import ConfigError, DataError

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0  # without a byte from the server
PAUSES_S = (1.0, 5.0, 15.0, 45.0)  # before the second to the fifth try
CHUNK_BYTES = 1 << 18
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP answers that may change by waiting
BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,  # in the middle of the body; before it, urllib makes it a URLError
)


def fetch(*, url: str, sha256: str, archive: Path) -> None:
    """Download ``url`` to ``archive``.

    What has arrived is kept in ``<archive>.part``, so a broken download goes on where it stopped,
    in this run or the next; a server that ignores the Range header sends it again from the start.
    ``archive`` itself appears only when the file is complete and checked.

    Parameters
    ----------
    url : str
        http or https address of a zip.
    sha256 : str
        Published sum, 64 hexadecimal digits; ``""`` if there is none, then the CRC of every
        member is checked instead.
    archive : Path
        Where the zip belongs.

    Raises
    ------
    ConfigError
        If ``url`` is not an http or https address.
    DataError
        If the address does not deliver, or what it delivers is not the zip it should be. A part
        that fails its check is removed.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"url: found {url!r}; allowed are http:// and https:// addresses")
    part = archive.with_name(archive.name + ".part")
    archive.parent.mkdir(parents=True, exist_ok=True)
    by_hand = f"to place it by hand, save it as {archive}"
    for pause_s in (*PAUSES_S, None):
        try:
            _download(url, part)
            break
        except BROKEN as error:
            reason = _reason(error)
            passing = not isinstance(error, urllib.error.HTTPError) or error.code in PASSING
            if pause_s is None or not passing:
                raise DataError(f"cannot download {url}: {reason}; {by_hand}") from error
            log.warning("%s: %s; next try in %g s", url, reason, pause_s)
            time.sleep(pause_s)
    try:
        _check(part, url=url, sha256=sha256, by_hand=by_hand)
    except DataError:
        part.unlink()
        raise
    n_bytes = part.stat().st_size
    os.replace(part, archive)
    log.info("%s: %d bytes from %s", archive, n_bytes, url)


def _reason(error: Exception) -> str:
    """Say in one line why a try failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return " ".join(str(inner).split()) or type(inner).__name__


def _download(url: str, part: Path) -> None:
    """Bring ``part`` from the bytes it has to the length the server states.

    Raises
    ------
    OSError, http.client.HTTPException
        One of ``BROKEN`` if the server refuses, breaks off, or sends other bytes than asked for.
    """
    had = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "openecg-pipeline"})
    if had:
        request.add_header("Range", f"bytes={had}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not had:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{had}":
            return  # nothing left to send
        part.unlink()
        raise ConnectionError(f"the server has no byte {had}; starting again") from error
    with response:
        if response.status == 206:
            content_range = response.headers.get("Content-Range", "")
            if not content_range.startswith(f"bytes {had}-"):
                part.unlink()
                raise ConnectionError(f"asked for bytes from {had}, got {content_range!r}")
        else:
            had = 0
        length = response.headers.get("Content-Length")
        total = had + int(length) if length is not None else None
        _copy(response, part, had=had, total=total)
    found = part.stat().st_size
    if total is not None and found != total:
        raise ConnectionError(f"broke off after {found} of {total} bytes")


def _copy(response: http.client.HTTPResponse, part: Path, *, had: int, total: int | None) -> None:
    """Append the body of ``response`` to the first ``had`` bytes of ``part``, showing progress."""
    terminal = sys.stderr.isatty()
    logged = 10 * had // total if total else 0
    with (
        part.open("ab" if had else "wb") as file,
        tqdm(
            total=total,
            initial=had,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            disable=not terminal,
        ) as bar,
    ):
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            bar.update(len(chunk))
            had += len(chunk)
            if not terminal and total and 10 * had // total > logged:
                logged = 10 * had // total
                log.info("%s: %d of %d bytes (%d %%)", part.stem, had, total, 10 * logged)


def _check(part: Path, *, url: str, sha256: str, by_hand: str) -> None:
    """Refuse a download that is not the published zip.

    Raises
    ------
    DataError
        If the sum differs, the file is no zip, or (without a sum) a member is damaged.
    """
    if sha256:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise DataError(
                f"{url}: sha256 of the download is {found}, expected {sha256}; {by_hand}"
            )
    if not zipfile.is_zipfile(part):
        with part.open("rb") as file:
            start = file.read(24)
        raise DataError(f"{url}: the download is not a zip, it starts with {start!r}; {by_hand}")
    if not sha256:
        try:
            with zipfile.ZipFile(part) as zipped:
                damaged = zipped.testzip()
        except DAMAGED as error:
            raise DataError(f"{url}: the download is a damaged zip: {error}; {by_hand}") from error
        if damaged is not None:
            raise DataError(f"{url}: member {damaged} of the download is damaged; {by_hand}")
