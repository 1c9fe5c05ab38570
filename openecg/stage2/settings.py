"""Training settings: entries of ``settings`` in the config, as files and as checked values."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from openecg.errors import ConfigError
from openecg.files import written_aside


@dataclass(frozen=True)
class Training:
    """How a model is trained; the values are explained in ``workflow_config.schema.yaml``."""

    epochs: int
    patience: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    clip: float
    class_weights: bool
    mask_unannotated: bool
    tuning_fold: int | None


@dataclass(frozen=True)
class Setting:
    """All that decides a trained model, besides its seed, the records and the code.

    Attributes
    ----------
    train_on : tuple of str
        Data sets whose training records are used.
    model : dict
        ``architecture``, a module of ``openecg.stage2``, and the values its ``build`` takes.
    training : Training
        How to train it.
    """

    train_on: tuple[str, ...]
    model: dict[str, Any]
    training: Training

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Setting":
        """Check resolved values.

        Raises
        ------
        ConfigError
            If a key is missing or unknown, a value is of the wrong type, or two of them clash.
        """
        _check_keys(values, cls, "setting")
        if not values["train_on"] or not isinstance(values["train_on"], list):
            raise ConfigError(
                f"setting, train_on: {values['train_on']!r} is not a list of data sets"
            )
        if not isinstance(values["model"], dict) or "architecture" not in values["model"]:
            raise ConfigError("setting, model: no key 'architecture'")
        _check_keys(values["training"], Training, "setting, training")
        for field in fields(Training):
            value = values["training"][field.name]
            if not _is_a(value, field.type):
                kind = getattr(field.type, "__name__", field.type)
                raise ConfigError(f"setting, training.{field.name}: {value!r} is not {kind}")
        training = Training(**values["training"])
        if training.patience is not None and training.tuning_fold is None:
            raise ConfigError(
                f"setting, training.patience: {training.patience} epochs without a better tuning "
                "score need a tuning_fold; with tuning_fold null, patience must be null"
            )
        return cls(tuple(values["train_on"]), dict(values["model"]), training)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that `from_dict` takes."""
        return asdict(self) | {"train_on": list(self.train_on)}


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
        Its values without ``base``. Mappings are merged, all else is replaced.

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
        values = _merged(values, settings[link])
    values.pop("base", None)
    return values


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


def _is_a(value: Any, kind: Any) -> bool:
    """Tell whether ``value`` may stand for ``kind``: true is no number, 1 is a float."""
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
