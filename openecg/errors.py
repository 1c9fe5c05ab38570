"""Errors a user can act on. Anything else that escapes is a bug and keeps its traceback."""

import errno

# Of `OSError`: a full disk or quota, a read-only or closed folder, a failing disk.
STORAGE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)
LONGEST = 1000  # characters of a message; the middle of a longer one is left out


def one_line(message: object) -> str:
    """Write a message on one line of printable characters, whatever bad input it quotes."""
    joined = " ".join(filter(None, map(str.strip, str(message).splitlines())))
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"


class UserError(ValueError):
    """Something the user can mend, said in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class DataError(UserError):
    """Input data breaks a documented rule; the message names the file, record and remedy."""


class ConfigError(UserError):
    """The configuration is wrong; the message names the key and what it may hold."""
