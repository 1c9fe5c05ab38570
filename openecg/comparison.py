"""What a system is compared with, and in what the two differ, by the config."""

import json
from collections.abc import Collection, Mapping
from typing import Any


def reference_of(
    system: str,
    scored: Collection[str],
    settings: Mapping[str, Any],
    decodings: Mapping[str, Any],
) -> str:
    """Name the system that another differs least from.

    Parameters
    ----------
    system : str
        ``SETTING`` or ``SETTING+DECODING``.
    scored : collection of str
        Systems to choose from.
    settings, decodings : mapping
        The entries of these names in the config; each ``base`` in one names an entry of it.

    Returns
    -------
    str
        The same setting with the nearest decoding that this one is based on, else as it decodes
        itself, else the nearest setting that it is based on, as that one decodes itself or with the
        same ``+DECODING``; ``""`` if none of them is scored.
    """
    setting, plus, decoding = system.partition("+")
    nearest = []
    if plus:
        nearest = [*(f"{setting}+{base}" for base in _bases(decodings, decoding)), setting]
    nearest += [base + plus + decoding for base in _bases(settings, setting)]
    return next((name for name in nearest if name in scored), "")


def _bases(entries: Mapping[str, Any], name: str) -> list[str]:
    """Name what an entry is based on, the nearest first."""
    base = entries[name].get("base")
    return [] if base is None else [base, *_bases(entries, base)]


def differences(values: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """Say in which values two mappings differ.

    Parameters
    ----------
    values, others : mapping
        Values of the config, mappings in mappings among them.

    Returns
    -------
    str
        Such as ``model.layers 8, training.keep last``: what ``values`` has that ``others`` has
        otherwise or not at all, in order of the keys.
    """
    return ", ".join(
        f"{key} {_text(value)}"
        for key, value in sorted(_flat(values).items())
        if _flat(others).get(key, values) != value
    )


def _text(value: Any) -> str:
    """Write a value as in the config, and a list without brackets."""
    if isinstance(value, list):
        return " ".join(map(_text, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Join the keys of mappings in mappings with a point."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in _flat(value).items()}
        else:
            flat[key] = value
    return flat
