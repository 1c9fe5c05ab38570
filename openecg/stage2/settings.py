"""Training settings: entries of ``settings`` in the config, as files and as checked values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from openecg.errors import ConfigError
from openecg.files import written_aside

Values = TypeVar("Values")

ANY_LEADS = "any"
BEST = "best"
LAST = "last"


@dataclass(frozen=True)
class Training:
    """How a model is trained; the values are explained in ``workflow_config.schema.yaml``."""

    epochs: int
    patience: int | None
    keep: str
    batch_size: int
    leads: str
    learning_rate: float
    weight_decay: float
    warmup: float
    clip: float
    average: float | None
    class_weights: bool
    focal_gamma: float
    soft_labels: list[float]
    offset_weight: float
    touch_weight: float
    mask_unannotated: bool
    tuning_fold: int | None


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for each window; the values are explained in the schema too."""

    operations: int
    amplitude: float
    noise: float
    wander: float
    spikes: float
    p_waves: float
    shift_ms: float
    time_scale: list[float]
    mask_edges_s: float

    @property
    def moves(self) -> bool:
        """Whether anything moves in time."""
        return self.shift_ms > 0 or self.time_scale != [1, 1]


@dataclass(frozen=True)
class Setting:
    """All that decides a trained model, besides its seed, the records and the code.

    Attributes
    ----------
    train_on : list of str
        Data sets whose training records are used.
    model : dict
        ``architecture``, a module of ``openecg.stage2``, and the values its ``build`` takes.
    training : Training
        How to train it.
    augmentation : Augmentation
        How to change what it learns from.
    """

    train_on: list[str]
    model: dict[str, Any]
    training: Training
    augmentation: Augmentation

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Setting":
        """Check resolved values.

        Raises
        ------
        ConfigError
            If a key is missing or unknown, a value is of the wrong type, or two of them clash.
        """
        _check_keys(values, cls, "setting")
        if not values["train_on"] or not _is_a(values["train_on"], list[str]):
            raise ConfigError(
                f"setting, train_on: {values['train_on']!r} is not a list of data sets"
            )
        if not isinstance(values["model"], dict) or "architecture" not in values["model"]:
            raise ConfigError("setting, model: no key 'architecture'")
        training = filled(Training, values["training"], "setting, training")
        augmentation = filled(Augmentation, values["augmentation"], "setting, augmentation")
        where = "setting, training"
        if training.tuning_fold is None and (training.patience or training.keep == BEST):
            raise ConfigError(
                f"{where}: patience {training.patience} and keep {training.keep!r} look at tuning "
                f"scores; with tuning_fold null they must be null and {LAST!r}"
            )
        if training.soft_labels and training.focal_gamma:
            raise ConfigError(
                f"{where}: soft_labels {training.soft_labels} and focal_gamma "
                f"{training.focal_gamma:g} do not go together; one must be empty or 0"
            )
        if 2 * sum(training.soft_labels) >= 1:
            raise ConfigError(
                f"{where}.soft_labels: {training.soft_labels} leave a label nothing of its own "
                "class; their sum must be below 0.5"
            )
        low, high = augmentation.time_scale
        if not 0 < low <= high:
            raise ConfigError(
                f"setting, augmentation.time_scale: {augmentation.time_scale} is no range above 0"
            )
        return cls(list(values["train_on"]), dict(values["model"]), training, augmentation)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that `from_dict` takes."""
        return asdict(self)


def resolve_setting(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Merge a setting over the one its ``base`` names, and that over its own base.

    Parameters
    ----------
    settings : mapping
        The entry ``settings`` of the config.
    name : str
        A key of it.

    Returns
    -------
    dict
        Its values without ``base`` and ``decoding``. Mappings are merged, all else is replaced; a
        model of another architecture takes nothing from the base.

    Raises
    ------
    ConfigError
        If a name is unknown, or the bases go round in a circle.
    """
    chain = [name]
    while True:
        if chain[-1] not in settings:
            key = f"settings.{chain[-2]}.base" if len(chain) > 1 else "settings"
            raise ConfigError(
                f"config, {key}: no setting {chain[-1]!r}; known: {', '.join(sorted(settings))}"
            )
        base = settings[chain[-1]].get("base")
        if base is None:
            break
        if base in chain:
            raise ConfigError(f"config, settings.{name}.base: a circle, {' -> '.join(chain)}")
        chain.append(base)
    values: dict[str, Any] = {}
    for link in reversed(chain):
        above = settings[link]
        other = above.get("model", {}).get("architecture")
        if "model" in values and other not in (None, values["model"].get("architecture")):
            values = values | {"model": {}}
        values = _merged(values, above)
    return {key: value for key, value in values.items() if key not in ("base", "decoding")}


def decoding_name(settings: Mapping[str, Any], name: str) -> str:
    """Name the entry of ``decodings`` that a setting, or the nearest of its bases, asks for.

    Raises
    ------
    ConfigError
        If none does.
    """
    link = name
    while "decoding" not in settings[link]:
        if "base" not in settings[link]:
            raise ConfigError(f"config, settings.{name}: no key 'decoding', nor in its bases")
        link = settings[link]["base"]
    found: str = settings[link]["decoding"]
    return found


def write_setting(*, setting: str, path: Path) -> None:
    """Write a resolved setting.

    Parameters
    ----------
    setting : str
        Its values, as JSON.
    path : Path
        YAML file to write; its name without ending names the model.

    Raises
    ------
    ConfigError
        If it is not JSON, or as `Setting.from_dict`.
    """
    try:
        values = Setting.from_dict(json.loads(setting)).to_dict()
    except json.JSONDecodeError as error:
        raise ConfigError(f"setting: not JSON: {error}") from error
    with written_aside(path) as aside:
        aside.write_text(yaml.safe_dump(values))


def read_setting(path: Path) -> Setting:
    """Read a file of `write_setting`.

    Raises
    ------
    ConfigError
        If it is not there or not YAML, or as `Setting.from_dict`.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    try:
        return Setting.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check_keys(values: Any, wanted: type, where: str) -> None:
    """Raise ConfigError unless ``values`` is a mapping with the fields of ``wanted`` as keys."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {values!r} is not a mapping")
    names = {field.name for field in fields(wanted)}
    for key in sorted(names ^ set(values), key=str):
        problem = "missing key" if key in names else "unknown key"
        raise ConfigError(f"{where}: {problem} {key!r}; the keys are {', '.join(sorted(names))}")


def filled(kind: type[Values], values: Any, name: str) -> Values:
    """Make a dataclass of numbers and texts from a mapping with its fields."""
    _check_keys(values, kind, name)
    for key, wanted in get_type_hints(kind).items():
        if not _is_a(values[key], wanted):
            text = getattr(wanted, "__name__", wanted)
            raise ConfigError(f"{name}.{key}: {values[key]!r} is not {text}")
    return kind(**values)


def _is_a(value: Any, kind: Any) -> bool:
    """Tell whether ``value`` may stand for ``kind``: true is no number, 1 is a float."""
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_a(part, get_args(kind)[0]) for part in value)
    if get_args(kind):
        return any(_is_a(value, one) for one in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, float | int if kind is float else kind)


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``above`` over ``below``; mappings in both are merged the same way."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _merged(below[key], value) if both else value
    return merged
