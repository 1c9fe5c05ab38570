"""The configuration behind a file: options of all steps that its inputs went through."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from openecg.made import note_of

BEHIND = "behind"
"""Among the options in a note: by step, and by option, all values that were given."""

PART = "part"  # says nothing of how, and there may be hundreds
Behind = dict[str, dict[str, list[Any]]]


def steps_behind(inputs: Iterable[Path], *, step: str) -> Behind:
    """Collect the options of the steps that made some files, and of all steps before them.

    Parameters
    ----------
    inputs : iterable of Path
        Files without a note, and those that are not there, add nothing.
    step : str
        The step that takes them in; what it made itself, before, is no input of it.

    Returns
    -------
    dict
        By step and by option the different values, in order of their JSON, without the numbers of
        parts. To ``train`` belongs the ``setting`` that a checkpoint holds, in full. Raw zips carry
        no note, so what lies before them is not told.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}

    def add(step: str, option: str, values: Iterable[Any]) -> None:
        known = found.setdefault(step, {}).setdefault(option, {})
        known.update({json.dumps(value, sort_keys=True): value for value in values})

    for path in inputs:
        note = note_of(path) if path.is_file() else {}
        if not note or note["step"] == step or not isinstance(note["options"], dict):
            continue
        options = {name: value for name, value in note["options"].items() if name != PART}
        for earlier, values in options.pop(BEHIND, {}).items():
            for option, some in values.items():
                add(earlier, option, some)
        if path.suffix == ".safetensors":
            options["setting"] = _setting_of(path)
        for option, value in options.items():
            add(note["step"], option, [value])
    return {
        earlier: {option: [known[key] for key in sorted(known)] for option, known in values.items()}
        for earlier, values in sorted(found.items())
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
