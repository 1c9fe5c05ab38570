"""How the probabilities of a model become waves: entries of ``decodings`` in the config."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openecg.errors import ConfigError
from openecg.stage2.settings import filled

PLAIN = "plain"
NO_OFFSETS = "none"
DOUBLE_COUNTED = "double_counted"
OF_RECORD = "record"
NOT_WITH_LIKELIEST = ("min_run_ms", "offsets", "p_off_shift_ms", "trim_p_sd", "refine")


@dataclass(frozen=True)
class Decoding:
    """The values are explained in ``workflow_config.schema.yaml``."""

    leads: int
    shifts: int
    ensemble: bool
    label_ms: float
    min_run_ms: float
    merge_gap_ms: float
    min_wave_ms: float
    min_p_share: float
    p_share_of: str
    likeliest: list[str]
    offsets: str
    p_off_shift_ms: float
    trim_p_sd: float
    refine: list[str]

    @classmethod
    def from_json(cls, text: str) -> "Decoding":
        """Read the values of an entry.

        Raises
        ------
        ConfigError
            If a key is missing or unknown, a value is of the wrong type, or boundaries are put in
            two ways.
        """
        how = filled(cls, json.loads(text), "decoding")
        also = [key for key in NOT_WITH_LIKELIEST if getattr(how, key) not in (0, NO_OFFSETS, [])]
        if how.likeliest and also:
            raise ConfigError(
                f"decoding: likeliest {how.likeliest} and {also[0]} {getattr(how, also[0])!r}, "
                f"which both move boundaries; leave out one (likeliest: [])"
            )
        return how


def resolve_decoding(decodings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Merge an entry of ``decodings`` over the one its ``base`` names, and that over ``plain``.

    Raises
    ------
    ConfigError
        If there is no such entry, or the bases go round in a circle.
    """
    chain: list[str] = []
    entry: str | None = name
    while entry is not None:
        if entry not in decodings:
            known = ", ".join(sorted(decodings))
            raise ConfigError(f"config, decodings: no {entry!r}; known: {known}")
        if entry in chain:
            circle = " -> ".join([*chain, entry])
            raise ConfigError(f"config, decodings.{name}.base: a circle, {circle}")
        chain.append(entry)
        entry = decodings[entry].get("base")
    values: dict[str, Any] = {}
    for link in (PLAIN, *reversed(chain)):
        values |= decodings[link]
    return {key: value for key, value in values.items() if key != "base"}
