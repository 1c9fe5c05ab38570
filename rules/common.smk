import json
import os
import shlex
import sys

# Jobs import the package from this checkout, on any node and with any --directory.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(workflow.basedir), os.getenv("PYTHONPATH")])
    )
)
sys.path.insert(0, str(workflow.basedir))

from pathlib import Path

from openecg.archive import zip_stamp
from openecg.config import check_config
from openecg.errors import ConfigError
from openecg.provenance import code_hash, text_hash
from openecg.stage2.settings import resolve_setting
from snakemake.exceptions import WorkflowError

try:
    check_config(config, Path(workflow.basedir) / "workflow_config.schema.yaml")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

PUBLISHED_NUMBERS = Path(workflow.basedir) / "openecg" / "published.tsv"
RULE_FILES = [
    Path(workflow.basedir) / "Snakefile",
    *sorted((Path(workflow.basedir) / "rules").glob("*.smk")),
]
SPECS = {dataset: config["specs"][dataset] for dataset in config["datasets"]}
PUBLISHED = {
    spec["zip"]["name"]: spec["zip"] for spec in SPECS.values() if "zip" in spec
}


def one_of(names):
    """A wildcard constraint that admits these names only."""
    return "|".join(names) or r"(?!)"


def runs():
    """Everything that predicts: NeuroKit streams and trained models."""
    models = expand(
        "{setting}/seed{seed}", setting=config["train"], seed=config["seeds"]
    )
    return [f"nk_{stream}" for stream in config["baselines"]] + models


wildcard_constraints:
    dataset=one_of(SPECS),
    part=r"\d{3}",
    stream=one_of(config["baselines"]),
    setting=one_of(config["train"]),
    seed=r"\d+",
    run=one_of(runs()),
    table="frames|boundaries",


def spec_value(path):
    """A params function that looks up ``specs.{dataset}.<path>``."""

    def value(wildcards):
        found = SPECS[wildcards.dataset]
        for key in path.split("."):
            found = found[key]
        return found

    return value


def stream_value(key):
    """A params function that looks up ``streams.{stream}.<key>``."""

    def value(wildcards):
        return config["streams"][wildcards.stream][key]

    return value


def parts_of(pattern, dataset):
    """Paths of all parts of one data set."""
    parts = [f"{part:03d}" for part in range(SPECS[dataset]["parts"])]
    return expand(pattern, dataset=dataset, part=parts)


def all_parts(pattern):
    """Paths of all parts of all data sets."""
    return [path for dataset in SPECS for path in parts_of(pattern, dataset)]


def all_tokens():
    """Paths of all token streams."""
    return expand(
        all_parts("results/tokens/{{stream}}/{dataset}/part-{part}.parquet"),
        stream=config["baselines"],
    )


def all_checkpoints(name):
    """Paths of a file that every training writes."""
    return expand(
        f"results/checkpoints/{{setting}}/seed{{seed}}/{name}",
        setting=config["train"],
        seed=config["seeds"],
    )


def all_predictions():
    """Paths of the predictions of every run on every data set."""
    return expand(
        "results/predictions/{run}/{dataset}.parquet", run=runs(), dataset=SPECS
    )


def all_automatic():
    """Paths of the scorer checks: data sets that carry automatic marks."""
    datasets = [name for name, spec in SPECS.items() if spec["layout"] == "qtdb"]
    return expand("results/metrics/automatic_{dataset}.tsv", dataset=datasets)


def all_pacing():
    """Paths of the pacing tables: data sets that say who is paced."""
    datasets = [name for name, spec in SPECS.items() if spec["layout"] == "ludb"]
    return expand("results/metrics/pacing_{dataset}.tsv", dataset=datasets)


def all_metrics():
    """Paths of all final tables."""
    tables = expand("results/metrics/{table}.tsv", table=["frames", "boundaries"])
    stage1 = expand("results/metrics/{table}.tsv", table=["ablation", "stage1"])
    return (
        tables
        + all_automatic()
        + all_pacing()
        + (stage1 if config["baselines"] else [])
    )


def zip_of(wildcards):
    """The zip a data set is read from."""
    spec = SPECS[wildcards.dataset]
    if "simulate" in spec:
        return f"results/simulated/{wildcards.dataset}.zip"
    return f"resources/{spec['zip']['name']}"


def zip_sha256(wildcards):
    """The sum a placed zip must have; empty if none is configured."""
    return SPECS[wildcards.dataset].get("zip", {}).get("sha256", "")


def zip_content(wildcards):
    """The stamp of a placed zip, since one that replaces it may have an older time.

    A zip that is not there is no change: it has the stamp that stands in its index, if any.
    """
    spec = SPECS[wildcards.dataset]
    if "simulate" in spec:
        return ""
    try:
        return zip_stamp(Path("resources", spec["zip"]["name"]))
    except FileNotFoundError:
        from openecg.files import parquet_note  # slow

        return parquet_note(Path(f"results/index/{wildcards.dataset}.parquet"), "zip")


def layout_code(module):
    """Hash a step together with the loader of the data set, which it imports by name."""

    def code(wildcards):
        layout = SPECS[wildcards.dataset]["layout"]
        return code_hash(module, f"openecg.datasets.{layout}")

    return code


def setting_text(wildcards):
    """A setting with its base merged in, as JSON."""
    return json.dumps(
        resolve_setting(config["settings"], wildcards.setting), sort_keys=True
    )


def architecture_code(module):
    """Hash a step together with the architecture of the setting, which it imports by name."""

    def code(wildcards):
        setting = resolve_setting(config["settings"], wildcards.setting)
        return code_hash(module, f"openecg.stage2.{setting['model']['architecture']}")

    return code


def training_shards(wildcards):
    setting = resolve_setting(config["settings"], wildcards.setting)
    return [
        path
        for dataset in setting["train_on"]
        for path in parts_of("results/shards/{dataset}/part-{part}.parquet", dataset)
    ]


def shards_of(wildcards):
    return parts_of("results/shards/{dataset}/part-{part}.parquet", wildcards.dataset)


def same_workflow():
    """Options by which a second snakemake reads this workflow and configuration."""
    options = ["--snakefile", str(workflow.main_snakefile)]
    if workflow.overwrite_configfiles:
        options += ["--configfile", *map(str, workflow.overwrite_configfiles)]
    if workflow.config_settings.config:
        options += ["--config", *workflow.config_settings.config_args]
    return shlex.join(options)
