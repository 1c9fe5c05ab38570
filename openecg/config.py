"""Check workflow_config.yaml against its schema and explain what is wrong in one line."""

import json
from difflib import get_close_matches
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from openecg.datasets import LAYOUTS, SIMULATED
from openecg.errors import ConfigError
from openecg.stage2.decoding import NO_OFFSETS, Decoding, resolve_decoding
from openecg.stage2.settings import Setting, decoding_name, resolve_setting
from openecg.windows import WindowRule

SAMPLES_PER_FRAME = 5  # the convolution in front of the model steps by five samples


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"{name!r}; {hint}"


def _check_schema(config: dict[str, Any], schema: dict[str, Any], name: str = "config") -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(config), key=lambda e: [str(k) for k in e.path]):
        path = ".".join(map(str, error.absolute_path))
        where = f"{name}.{path}".removesuffix(".")
        if name == "config":
            where = f"config, {path or 'top level'}"
        if error.validator == "additionalProperties":
            known = list(error.schema.get("properties", {}))
            key = sorted(set(error.instance) - set(known), key=str)[0]
            raise ConfigError(f"{where}: unknown key {_unknown(str(key), known)}")
        raise ConfigError(f"{where}: {error.message}")


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
    if not any(specs[dataset].get("scored", True) for dataset in config["datasets"]):
        raise ConfigError("config, datasets: none that is scored; specs say scored: false of all")
    _check_shared_zips({dataset: specs[dataset] for dataset in config["datasets"]})
    scored = [config["train"], config["baselines"]]
    scored += [config[key]["systems"] for key in ("cross_validation", "tuning")]
    if not any(scored):
        raise ConfigError(
            "config: train, baselines, cross_validation.systems and tuning.systems are all empty; "
            "nothing would be scored"
        )
    for name in config["baselines"]:
        if name not in config["streams"]:
            known = _unknown(name, list(config["streams"]))
            raise ConfigError(f"config, baselines: unknown stream {known}")
    for name in config["decodings"]:
        _check_decoding(name, config["decodings"])
    for key in ("train", "cross_validation.systems", "tuning.systems"):
        _check_systems(key, config, schema["$defs"]["models"])
    for key in ("cross_validation.systems", "tuning.systems"):
        _check_scored(key, config)
    for name in config["own_seeds"]:
        if name not in config["settings"]:
            known = _unknown(name, list(config["settings"]))
            raise ConfigError(f"config, own_seeds: unknown setting {known}")
    for name in config["decoding_grid"]:
        if name not in config["tuning"]["systems"]:
            raise ConfigError(
                f"config, decoding_grid: {name!r} is not in tuning.systems, and a cleaning is "
                "chosen on tuning records only"
            )
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
    try:
        WindowRule.from_dict(spec["windows"])
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error
    if spec["split"]["rule"] != "published" and not spec["split"]["fraction"]:
        raise ConfigError(f"{where}.split.fraction: 0 holds out no record to score")
    if "simulate" in spec and spec["parts"] > spec["simulate"]["records"]:
        raise ConfigError(
            f"{where}.parts: {spec['parts']} parts of {spec['simulate']['records']} records"
        )


def _check_shared_zips(specs: dict[str, dict[str, Any]]) -> None:
    """Refuse data sets of one zip that would train on each other's held-out records."""
    first: dict[str, str] = {}
    for name, spec in specs.items():
        if "zip" not in spec:
            continue
        other = first.setdefault(spec["zip"]["name"], name)
        for key in ("zip", "split"):
            if spec[key] != specs[other][key]:
                raise ConfigError(
                    f"config, specs.{name}.{key}: not that of specs.{other}, which is read from "
                    f"the same {spec['zip']['name']}"
                )


def _check_decoding(name: str, decodings: dict[str, Any]) -> None:
    """Check one decoding with ``plain`` below it."""
    try:
        decoding = Decoding.from_json(json.dumps(resolve_decoding(decodings, name)))
    except ConfigError as error:
        raise ConfigError(f"config, decodings.{name}: {error}") from error
    if decoding.merge_gap_ms and not decoding.min_run_ms:
        raise ConfigError(f"config, decodings.{name}: merge_gap_ms needs min_run_ms above 0")


def _check_systems(key: str, config: dict[str, Any], models: dict[str, Any]) -> None:
    """Check a list of ``SETTING`` and ``SETTING+DECODING``."""
    systems = reduce(getitem, key.split("."), config)
    for system in systems:
        setting, plus, decoding = system.partition("+")
        if plus and decoding not in config["decodings"]:
            known = _unknown(decoding, list(config["decodings"]))
            raise ConfigError(f"config, {key}: {system!r} has an unknown decoding {known}")
        _check_setting(setting, key, config, models)
        own = decoding_name(config["settings"], setting)
        if own not in config["decodings"]:
            known = _unknown(own, list(config["decodings"]))
            raise ConfigError(f"config, settings.{setting}.decoding: unknown decoding {known}")
        if decoding == own:
            raise ConfigError(f"config, {key}: {system!r} is decoded as {setting!r} is anyway")
        how = resolve_decoding(config["decodings"], decoding or own)
        values = resolve_setting(config["settings"], setting)
        model = values["model"]
        if how["offsets"] != NO_OFFSETS and not model.get("offsets"):
            raise ConfigError(
                f"config, {key}: {system!r}: decoding {decoding or own!r} needs offsets, and the "
                f"model of {setting!r} gives none"
            )
        if how["offsets"] != NO_OFFSETS and not values["training"]["offset_weight"]:
            raise ConfigError(
                f"config, {key}: {system!r}: decoding {decoding or own!r} needs offsets, and "
                f"{setting!r} learns none: its offset_weight is 0"
            )


def source_name(dataset: str, spec: dict[str, Any]) -> str:
    """Name what a data set is read from; data sets of one zip share their records."""
    name: str = spec.get("zip", {}).get("name", dataset)
    return name


def _check_scored(key: str, config: dict[str, Any]) -> None:
    """Refuse to train models that would be scored on their own data, none of which is scored."""
    specs = {name: config["specs"][name] for name in config["datasets"]}
    source = {name: source_name(name, spec) for name, spec in specs.items()}
    scored = {source[name] for name, spec in specs.items() if spec.get("scored", True)}
    for system in reduce(getitem, key.split("."), config):
        setting = resolve_setting(config["settings"], system.partition("+")[0])
        if scored.isdisjoint(source[name] for name in setting["train_on"]):
            raise ConfigError(
                f"config, {key}: {system!r} learns from {', '.join(setting['train_on'])}, and no "
                "data set from there is scored: their specs say scored: false"
            )


def _check_setting(name: str, key: str, config: dict[str, Any], models: dict[str, Any]) -> None:
    """Check one setting that is to be trained, with its base merged in."""
    if name not in config["settings"]:
        known = _unknown(name, list(config["settings"]))
        raise ConfigError(f"config, {key}: unknown setting {known}")
    where = f"config, settings.{name}"
    resolved = resolve_setting(config["settings"], name)
    try:
        setting = Setting.from_dict(resolved)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    _check_model(setting.model, f"{where}.model", models)
    if setting.training.offset_weight and not setting.model.get("offsets"):
        raise ConfigError(f"{where}: training.offset_weight above 0 needs model.offsets true")
    absent = [dataset for dataset in setting.train_on if dataset not in config["datasets"]]
    if absent and absent[0] not in config["specs"]:
        known = _unknown(absent[0], list(config["specs"]))
        raise ConfigError(f"{where}.train_on: unknown data set {known}")
    if absent:
        raise ConfigError(
            f"config, {key}: setting {name!r} needs data set {absent[0]!r}, which is not in "
            f"datasets: {', '.join(config['datasets'])}"
        )


def _check_model(model: dict[str, Any], where: str, models: dict[str, Any]) -> None:
    """Check a model by the entry of its architecture in the schema."""
    if model["architecture"] not in models:
        known = _unknown(str(model["architecture"]), list(models))
        raise ConfigError(f"{where}.architecture: unknown {known}")
    schema = models[model["architecture"]]
    _check_schema(model, schema, where)
    channels = model.get("d_model") or model.get("channels", [0])[-1]
    if channels % model.get("heads", 1):
        raise ConfigError(
            f"{where}.heads: {channels} channels do not divide by {model['heads']} heads"
        )
