"""Check workflow_config.yaml against its schema and explain what is wrong in one line."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from openecg.errors import ConfigError
from openecg.stage2.settings import Setting, resolve_setting

SAMPLES_PER_FRAME = 5  # the convolution in front of the model steps by five samples


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"{name!r}; {hint}"


def _check_schema(config: dict[str, Any], schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(config), key=lambda e: [str(k) for k in e.path]):
        where = ".".join(map(str, error.absolute_path)) or "top level"
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", {}))
            key = sorted(set(error.instance) - set(known), key=str)[0]
            raise ConfigError(f"config, {where}: unknown key {_unknown(str(key), known)}")
        raise ConfigError(f"config, {where}: {error.message}")


def check_config(config: dict[str, Any], schema_file: Path) -> None:
    """Raise ConfigError, naming the key, if ``config`` cannot be run.

    Parameters
    ----------
    config : dict
        ``workflow_config.yaml`` with its overlays merged in.
    schema_file : Path
        ``workflow_config.schema.yaml``.

    Raises
    ------
    ConfigError
        On the first problem: unknown key (with the nearest known one), wrong type, value out of
        range, a name that is not defined, or a setting whose data set is not selected.
    """
    _check_schema(config, yaml.safe_load(schema_file.read_text()))
    specs, settings = config["specs"], config["settings"]
    for dataset in config["datasets"]:
        if dataset not in specs:
            raise ConfigError(
                f"config, datasets: unknown data set {_unknown(dataset, list(specs))}"
            )
    for name, spec in specs.items():
        if ("zip" in spec) == ("simulate" in spec):
            raise ConfigError(f"config, specs.{name}: needs either zip or simulate, not both")
        if ("simulate" in spec) != name.startswith("simulated_"):
            raise ConfigError(
                f"config, specs.{name}: simulated data, and nothing else, is named simulated_..."
            )
        layouts = Path(__file__).parent / "datasets"
        if not (layouts / f"{spec['layout']}.py").exists():
            names = [p.stem for p in layouts.glob("*.py") if p.stem not in ("__init__", "base")]
            raise ConfigError(
                f"config, specs.{name}.layout: unknown layout {_unknown(spec['layout'], names)}"
            )
    for name in config["train"]:
        if name not in settings:
            raise ConfigError(f"config, train: unknown setting {_unknown(name, list(settings))}")
        resolved = resolve_setting(settings, name)
        try:
            setting = Setting.from_dict(resolved)
        except ConfigError as error:
            raise ConfigError(f"config, settings.{name}: {error}") from error
        absent = [dataset for dataset in setting.train_on if dataset not in config["datasets"]]
        if absent and absent[0] not in specs:
            known = _unknown(absent[0], list(specs))
            raise ConfigError(f"config, settings.{name}.train_on: unknown data set {known}")
        if absent:
            raise ConfigError(
                f"config, train: setting {name!r} needs data set {absent[0]!r}, which is not in "
                f"datasets: {', '.join(config['datasets'])}"
            )
    signal = config["signal"]
    if signal["fs_hz"] * signal["frame_ms"] != SAMPLES_PER_FRAME * 1000:
        raise ConfigError(
            f"config, signal: a frame of {signal['frame_ms']} ms at {signal['fs_hz']} Hz is not "
            f"{SAMPLES_PER_FRAME} samples, the step of the models"
        )
    if signal["window_s"] * 1000 % signal["frame_ms"]:
        raise ConfigError("config, signal: window_s must be a whole number of frames")
