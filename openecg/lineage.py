"""The configuration behind a file: options of all steps that its inputs went through."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from openecg.made import note_of

BEHIND = "behind"
"""Among the options in a note: by step, and by option, all values that were given."""

Behind = dict[str, dict[str, list[Any]]]


def steps_behind(inputs: Iterable[Path]) -> Behind:
    """Collect the options of the steps that made some files, and of all steps before them.

    Parameters
    ----------
    inputs : iterable of Path
        Files without a note, and those that are not there, add nothing.

    Returns
    -------
    dict
        By step and by option the different values, in order of their JSON. To ``train`` belongs
        the ``setting`` that a checkpoint holds, in full.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}

    def add(step: str, option: str, values: Iterable[Any]) -> None:
        known = found.setdefault(step, {}).setdefault(option, {})
        known.update({json.dumps(value, sort_keys=True): value for value in values})

    for path in inputs:
        note = note_of(path)
        if not note:
            continue
        options = dict(note["options"])
        for step, values in options.pop(BEHIND, {}).items():
            for option, some in values.items():
                add(step, option, some)
        if path.suffix == ".safetensors":
            options["setting"] = _setting_of(path)
        for option, value in options.items():
            add(note["step"], option, [value])
    return {
        step: {option: [known[key] for key in sorted(known)] for option, known in values.items()}
        for step, values in sorted(found.items())
    }


def paths_in(options: Iterable[Any]) -> list[Path]:
    """List the paths among the values of options, which may be lists of them."""
    lists = (value if isinstance(value, list) else [value] for value in options)
    return [item for items in lists for item in items if isinstance(item, Path)]


def _setting_of(path: Path) -> dict[str, Any] | None:
    """Read by name the setting that a checkpoint holds."""
    try:
        with safe_open(path, framework="np") as opened:
            content = json.loads((opened.metadata() or {}).get("openecg", "{}"))
        return {content["name"]: content["setting"]}
    except (SafetensorError, OSError, ValueError, KeyError):
        return None
