from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from openecg.config import check_config
from openecg.datasets import LAYOUTS
from openecg.datasets.base import load_layout
from openecg.errors import ConfigError
from openecg.stage2.engine import build_model
from openecg.stage2.settings import resolve_setting

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow_config.schema.yaml"
DEFAULT = load_configfile(str(ROOT / "workflow_config.yaml"))


def config_with(path: str, value: Any) -> dict[str, Any]:
    config = deepcopy(DEFAULT)
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    return config


@pytest.mark.parametrize("overlay", ["", *sorted(p.name for p in (ROOT / "configs").iterdir())])
def test_shipped_configs_pass(overlay: str) -> None:
    config = deepcopy(DEFAULT)
    if overlay:
        update_config(config, load_configfile(str(ROOT / "configs" / overlay)))
    check_config(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("sgnal", {}, "did you mean 'signal'"),
        ("signal.fs", 250, "signal: unknown key 'fs'"),
        ("signal.fs_hz", "250", "signal.fs_hz"),
        ("signal.fs_hz", 50, "signal.fs_hz"),
        ("signal.fs_hz", 500, "samples"),
        ("datasets", [], "datasets"),
        ("datasets", ["ludbb"], "did you mean 'ludb'"),
        ("datasets", ["simulated_ludb"], "needs data set 'simulated_qtdb'"),
        ("train", ["F_simulatd"], "did you mean 'F_simulated'"),
        ("train", ["F"], "'F' needs data set 'ludb'"),
        ("baselines", ["dwtt"], "did you mean 'dwt'"),
        ("streams.dwt.method", "dwtt", "streams.dwt.method"),
        ("streams.dwt.pacer", "none", "streams.dwt.pacer"),
        ("streams.dwt.metod", "dwt", "did you mean 'method'"),
        ("seeds", [-1], "seeds.0"),
        ("own_seeds", {"F_simulatd": [1]}, "own_seeds: unknown setting 'F_simulatd'; did you mean"),
        ("own_seeds", {"F_simulated": []}, "own_seeds.F_simulated"),
        ("decoding_grid", ["F_simulated"], "'F_simulated' is not in tuning.systems"),
        ("specs.ludb.layout", "ludbx", "did you mean 'ludb'"),
        ("specs.ludb.simulate", {"records": 5, "seed": 1}, "specs.ludb"),
        ("specs.ludb.zip.url", "ftp://x", "specs.ludb.zip.url"),
        ("specs.ludb.windows", {}, "specs.ludb.windows: 'rule' is a required property"),
        ("specs.ludb.windows.rule", "center", "specs.ludb.windows.rule"),
        ("specs.ludb.windows.perlead", 3, "did you mean 'per_lead'"),
        ("specs.ludb.windows.seed", 3, "specs.ludb.windows.seed: rule 'cover' takes no such key"),
        ("specs.ludb.windows.rule", "sliding", "specs.ludb.windows.per_lead: rule 'sliding' needs"),
        ("specs.qtdb_sliding.windows.per_lead", 0, "specs.qtdb_sliding.windows.per_lead"),
        ("specs.ludb.split.fraction", 1.5, "specs.ludb.split.fraction"),
        ("settings.F_simulated.base", "Z", "Z"),
        ("settings.F_simulated.base", "F_simulated", "F_simulated"),
        ("settings.F_simulated.train_on", ["nowhere"], "nowhere"),
        ("settings.F.training.epochs", 0, "settings.F.training.epochs"),
        ("settings.F.model.dmodel", 64, "did you mean 'd_model'"),
        (
            "settings.F.model.architecture",
            "lstm",
            "settings.F_simulated.model.architecture: unknown 'lstm'",
        ),
        (
            "settings.F.model.heads",
            3,
            "settings.F_simulated.model.heads: 64 channels do not divide by 3",
        ),
        (
            "settings.F.model",
            {"architecture": "conv_transformer"},
            "settings.F_simulated.model: 'd_model' is a required",
        ),
        ("settings.F.model.dmodel", 3, "settings.F_simulated.model: unknown key 'dmodel'; did you"),
        ("settings.F.training.offset_weight", 0.1, "needs model.offsets true"),
        ("train", ["F_simulated+ofsets"], "unknown decoding 'ofsets'; did you mean 'offsets'"),
        ("train", ["F_simulated+plain"], "'F_simulated+plain' is decoded as 'F_simulated' is"),
        ("settings.F.decoding", "wave", "settings.F_simulated.decoding: unknown decoding 'wave'"),
        ("tuning.systems", ["Gx"], "tuning.systems: unknown setting 'Gx'"),
        ("cross_validation.systems", ["F"], "cross_validation.systems: setting 'F' needs data set"),
        ("decodings.plain", {"leads": 0}, "decodings.plain: decoding: missing key"),
        ("decodings.shift", {"merge_gap_ms": 5}, "decodings.shift: merge_gap_ms needs min_run_ms"),
        ("decodings.shift", {"shift": 5}, "decodings.shift: unknown key 'shift'"),
        ("settings.F.training.patience", "x", "settings.F.training.patience"),
        ("specs.simulated_ludb.parts", 500, "specs.simulated_ludb.parts"),
        ("specs.qtdb.split.fraction", 0, "specs.qtdb.split.fraction"),
        ("specs.ludb.layout", "base", "unknown layout 'base'"),
        ("signal.window_s", 30, "signal.window_s"),
        ("settings.F.training.tuning_fold", 5, "settings.F.training.tuning_fold"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line_that_names_the_key(
    path: str, value: Any, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_config(config_with(path, value), SCHEMA)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"), [("split", {"seed": 43}), ("zip", {"url": "https://example.org/x.zip"})]
)
def test_data_sets_of_one_zip_have_the_same_records_held_out(
    key: str, value: dict[str, Any]
) -> None:
    config = deepcopy(DEFAULT)
    config |= {"datasets": [*config["datasets"], "qtdb", "qtdb_centre", "qtdb_sliding"]}
    check_config(config, SCHEMA)
    specs = config["specs"]
    specs["qtdb_sliding"] = specs["qtdb_sliding"] | {key: specs["qtdb"][key] | value}
    with pytest.raises(ConfigError) as error:
        check_config(config, SCHEMA)
    assert f"specs.qtdb_sliding.{key}: not that of specs.qtdb" in str(error.value)
    assert "\n" not in str(error.value)
    config["datasets"].remove("qtdb_sliding")
    check_config(config, SCHEMA)


def test_one_overlay_runs_every_setting() -> None:
    config = deepcopy(DEFAULT)
    update_config(config, load_configfile(str(ROOT / "configs" / "published.yaml")))
    trained = {system.partition("+")[0] for system in config["train"]}
    simulated = {name for name in config["settings"] if name.endswith("_simulated")}
    assert trained == set(config["settings"]) - simulated - {"combined"}


def test_a_run_whose_data_are_all_to_train_on_is_refused() -> None:
    config = deepcopy(DEFAULT) | {"datasets": ["qtdb_sliding"]}
    with pytest.raises(ConfigError, match="none that is scored"):
        check_config(config, SCHEMA)


def test_a_decoding_with_offsets_needs_a_model_that_gives_them() -> None:
    config = deepcopy(DEFAULT) | {"train": ["F_simulated+offsets"]}
    with pytest.raises(ConfigError, match="needs offsets, and the model of 'F_simulated' gives no"):
        check_config(config, SCHEMA)
    config |= {"train": ["v12_reg+offsets"], "datasets": list(config["specs"])}
    check_config(config, SCHEMA)
    config["settings"]["v12_reg"]["training"]["offset_weight"] = 0
    with pytest.raises(ConfigError, match="and 'v12_reg' learns none: its offset_weight is 0"):
        check_config(config, SCHEMA)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_config_is_allowed(path: Path) -> None:
    config = deepcopy(DEFAULT)
    update_config(config, load_configfile(str(path)))
    check_config(config, SCHEMA)


@pytest.mark.parametrize("key", ["cross_validation", "tuning"])
def test_folds_of_data_that_are_not_scored_are_refused(key: str) -> None:
    config = deepcopy(DEFAULT)
    config["datasets"] = ["simulated_ludb", "simulated_qtdb"]
    config["train"] = []
    config[key]["systems"] = ["F_simulated"]
    check_config(config, SCHEMA)
    config["specs"]["simulated_ludb"]["scored"] = False
    with pytest.raises(ConfigError, match="'F_simulated' learns from simulated_ludb, and no data"):
        check_config(config, SCHEMA)


def test_a_run_that_would_score_nothing_is_refused() -> None:
    config = deepcopy(DEFAULT) | {"train": [], "baselines": []}
    with pytest.raises(ConfigError, match="are all empty"):
        check_config(config, SCHEMA)


def test_every_key_of_the_default_config_is_described() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())

    def leaves(node: dict[str, Any], path: str) -> list[str]:
        if "properties" in node or isinstance(node.get("additionalProperties"), dict):
            children = dict(node.get("properties", {}))
            if isinstance(node.get("additionalProperties"), dict):
                children["*"] = node["additionalProperties"]
            return [p for key, child in children.items() for p in leaves(child, f"{path}.{key}")]
        return [] if "description" in node or "enum" in node else [path]

    assert leaves(schema, "config") == []


PARAMETERS = {
    **{"v1.0": 211_780, "F": 211_012, "A": 1_083_012, "B": 211_780, "C": 1_083_012},
    **{"E": 211_012, "Cbig_d192": 2_511_940, "Cbig_d256": 3_212_036},
    **{"unet": 494_932, "unet12": 544_500},
    **{"v9": 1_126_660, "v12_soft": 1_126_660, "v12_reg": 1_127_434},
}


@pytest.mark.parametrize("name", DEFAULT["settings"])
def test_every_shipped_setting_can_be_trained(name: str) -> None:
    config = deepcopy(DEFAULT) | {"datasets": list(DEFAULT["specs"]), "train": [name]}
    check_config(config, SCHEMA)
    with torch.device("meta"):
        network = build_model(resolve_setting(config["settings"], name)["model"])
    counted = sum(p.numel() for p in network.parameters())
    assert counted == PARAMETERS.get(name, counted)


def test_the_published_parameter_counts_are_of_shipped_settings() -> None:
    assert set(PARAMETERS) <= set(DEFAULT["settings"])


def test_every_layout_has_a_loader() -> None:
    for layout in LAYOUTS:
        loader = load_layout(layout)
        assert callable(loader.list_records)
        assert callable(loader.read_record)
