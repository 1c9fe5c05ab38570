"""Check workflow_config.yaml against its schema and explain what is wrong in one line."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from openecg.datasets import LAYOUTS, SIMULATED
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
    schema = yaml.safe_load(schema_file.read_text())
    _check_schema(config, schema)
    specs = config["specs"]
    for dataset in config["datasets"]:
        if dataset not in specs:
            known = _unknown(dataset, list(specs))
            raise ConfigError(f"config, datasets: unknown data set {known}")
    for name, spec in specs.items():
        _check_spec(name, spec)
    if not config["train"] and not config["baselines"]:
        raise ConfigError("config: train and baselines are both empty; nothing would be scored")
    for name in config["baselines"]:
        if name not in config["streams"]:
            known = _unknown(name, list(config["streams"]))
            raise ConfigError(f"config, baselines: unknown stream {known}")
    for name in config["train"]:
        _check_setting(name, config, schema["properties"]["settings"])
    signal = config["signal"]
    if signal["fs_hz"] * signal["frame_ms"] != SAMPLES_PER_FRAME * 1000:
        raise ConfigError(
            f"config, signal: a frame of {signal['frame_ms']} ms at {signal['fs_hz']} Hz is not "
            f"{SAMPLES_PER_FRAME} samples, the step of the models"
        )
    if signal["window_s"] * 1000 % signal["frame_ms"]:
        raise ConfigError("config, signal: window_s must be a whole number of frames")


def _check_spec(name: str, spec: dict[str, Any]) -> None:
    """Check the entry of one data set across its keys."""
    where = f"config, specs.{name}"
    if ("zip" in spec) == ("simulate" in spec):
        raise ConfigError(f"{where}: needs either zip or simulate, not both")
    if ("simulate" in spec) != name.startswith(SIMULATED):
        raise ConfigError(f"{where}: simulated data, and nothing else, is named {SIMULATED}...")
    if spec["layout"] not in LAYOUTS:
        known = _unknown(spec["layout"], list(LAYOUTS))
        raise ConfigError(f"{where}.layout: unknown layout {known}")
    if spec["split"]["rule"] != "published" and not spec["split"]["fraction"]:
        raise ConfigError(f"{where}.split.fraction: 0 holds out no record to score")
    if "simulate" in spec and spec["parts"] > spec["simulate"]["records"]:
        raise ConfigError(
            f"{where}.parts: {spec['parts']} parts of {spec['simulate']['records']} records"
        )


def _check_setting(name: str, config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check one setting that is to be trained, with its base merged in."""
    if name not in config["settings"]:
        known = _unknown(name, list(config["settings"]))
        raise ConfigError(f"config, train: unknown setting {known}")
    where = f"config, settings.{name}"
    resolved = resolve_setting(config["settings"], name)
    try:
        setting = Setting.from_dict(resolved)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    model = schema["additionalProperties"]["properties"]["model"]["properties"]
    for key in model:
        if key not in setting.model:
            raise ConfigError(f"{where}.model: no key {key!r}")
    if setting.model["d_model"] % setting.model["heads"]:
        raise ConfigError(
            f"{where}.model.d_model: {setting.model['d_model']} channels do not divide by "
            f"{setting.model['heads']} heads"
        )
    absent = [dataset for dataset in setting.train_on if dataset not in config["datasets"]]
    if absent and absent[0] not in config["specs"]:
        known = _unknown(absent[0], list(config["specs"]))
        raise ConfigError(f"{where}.train_on: unknown data set {known}")
    if absent:
        raise ConfigError(
            f"config, train: setting {name!r} needs data set {absent[0]!r}, which is not in "
            f"datasets: {', '.join(config['datasets'])}"
        )
