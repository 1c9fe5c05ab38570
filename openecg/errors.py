"""Errors a user can act on. Anything else that escapes is a bug and keeps its traceback."""


class DataError(ValueError):
    """Input data breaks a documented rule; the message names the file, record and remedy."""


class ConfigError(ValueError):
    """The configuration is wrong; the message names the key and what it may hold."""
