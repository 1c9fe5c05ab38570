import json
import os
import re
import shlex
import shutil
import sys

# Jobs import the package from this checkout, on any node and with any --directory.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(workflow.basedir), os.getenv("PYTHONPATH")])
    ),
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]),
    OPENECG_HEAD=os.getcwd(),  # by which a later run finds jobs that a killed one left
)
sys.path.insert(0, str(workflow.basedir))

from pathlib import Path

from openecg.archive import zip_stamp
from openecg.comparison import differences, reference_of
from openecg.config import check_config, source_name
from openecg.datasets import LAYOUTS
from openecg.errors import ConfigError
from openecg.head import check_disk, hold, look_once_a_second
from openecg.leads import LEADS
from openecg.own_decoding import by_own_decoding
from openecg.provenance import code_hash, text_hash
from openecg.selection import ALL, HELD_OUT, SCOPES, TUNING, schemes_of
from openecg.stage2.decoding import DOUBLE_COUNTED, PLAIN, resolve_decoding
from openecg.stage2.settings import decoding_name, resolve_setting
from openecg.table_list import TABLES

try:
    check_config(config, Path(workflow.basedir) / "workflow_config.schema.yaml")
    if workflow.is_main_process:
        check_disk()
except ConfigError as error:
    sys.exit(
        str(error)
    )  # one line; an exception would name this file, which is not at fault
except OSError as error:
    sys.exit(f"{error.filename}: {error.strerror}")

# What a job that computes on a GPU takes of the `gpu` that a profile allows: nothing where there is none.
CARDS = int(shutil.which("nvidia-smi") is not None)

# Tables of scores, the module of the step that writes each, and the layouts it is for.
SCORES = {
    "frames": ("openecg.metrics", LAYOUTS),
    "boundaries": ("openecg.metrics", LAYOUTS),
    "classical": ("openecg.classical", ("qtdb",)),  # leads annotated together
}
MOST_LEADS = {"qtdb": 2}  # of a record, by layout; of the others twelve
PUBLISHED_NUMBERS = Path(workflow.basedir) / "openecg" / "published.tsv"
GOALS = Path(workflow.basedir) / "openecg" / "goals.tsv"
RULE_FILES = [
    Path(workflow.basedir) / "Snakefile",
    *sorted((Path(workflow.basedir) / "rules").glob("*.smk")),
]
SPECS = {dataset: config["specs"][dataset] for dataset in config["datasets"]}
SCORED = [dataset for dataset, spec in SPECS.items() if spec.get("scored", True)]
PUBLISHED = {
    spec["zip"]["name"]: spec["zip"] for spec in SPECS.values() if "zip" in spec
}


def one_of(names):
    """A wildcard constraint that admits these names only."""
    return "|".join(map(re.escape, sorted(names))) or r"(?!)"


def systems(scope):
    """Models to score: names of settings, some with ``+`` and a decoding."""
    return {
        HELD_OUT: config["train"],
        ALL: config["cross_validation"]["systems"],
        TUNING: config["tuning"]["systems"],
    }[scope]


def setting_of(system):
    """The setting that a model is trained by."""
    return system.partition("+")[0]


def decoding_named(system):
    """Name of the entry that a model is decoded by: its own, or that of its setting."""
    setting, _, own = system.partition("+")
    return own or decoding_name(config["settings"], setting)


def decoding_of(system):
    """How the probabilities of a model become waves."""
    return resolve_decoding(config["decodings"], decoding_named(system))


SETTINGS = {
    name: resolve_setting(config["settings"], name)
    for name in sorted({setting_of(s) for scope in SCOPES for s in systems(scope)})
}


def scored_by(scope):
    """All systems of a scope; token streams, which learn nothing, are not chosen among."""
    fair = scope == HELD_OUT or (scope == ALL and systems(ALL))
    streams = config["baselines"] if fair else []
    return [f"nk_{stream}" for stream in streams] + systems(scope)


def scored_datasets(scope, system):
    """Data sets a system is scored on: those whose records have the leads that it is to see.

    Without held-out records, only those of the zips it learns from.
    """
    leads = 0 if system.startswith("nk_") else decoding_of(system)["leads"]
    able = [
        dataset
        for dataset in SCORED
        if leads <= MOST_LEADS.get(SPECS[dataset]["layout"], len(LEADS))
    ]
    if scope == HELD_OUT:
        return able
    models = systems(scope) if system.startswith("nk_") else [system]
    learnt = {
        source_of(name)
        for model in models
        for name in SETTINGS[setting_of(model)]["train_on"]
    }
    return [name for name in able if source_of(name) in learnt]


def schemes(scope):
    """Which trainings together score the records of a scope."""
    if scope == TUNING:
        return [f"{TUNING}{fold}" for fold in config["tuning"]["folds"]]
    return schemes_of(scope)


def training_name(scheme, seed):
    """Folder of one training below its setting."""
    return f"seed{seed}" if scheme == HELD_OUT else f"{scheme}-seed{seed}"


wildcard_constraints:
    dataset=one_of(SPECS),
    part=r"\d{3}",
    stream=one_of(config["streams"]),
    setting=one_of(SETTINGS),
    training=r"((tuning|all)\d-)?seed\d+",
    leads=r"\d+",
    shifts=r"\d+",
    scope=one_of(SCOPES),
    system=one_of({name for scope in SCOPES for name in scored_by(scope)}),
    seed=r"\d+|all",
    scores=one_of(SCORES),
    table=one_of(TABLES),


def spec_value(path):
    """A params function that looks up ``specs.{dataset}.<path>``."""

    def value(wildcards):
        found = SPECS[wildcards.dataset]
        for key in path.split("."):
            found = found[key]
        return found

    return value


def windows_text(wildcards):
    """The rule by which the windows of a data set are chosen, as JSON."""
    return json.dumps(SPECS[wildcards.dataset]["windows"], sort_keys=True)


def stream_value(key):
    """A params function that looks up ``streams.{stream}.<key>``."""

    def value(wildcards):
        return config["streams"][wildcards.stream][key]

    return value


def parts_of(pattern, dataset):
    """Paths of all parts of one data set."""
    parts = [f"{part:03d}" for part in range(SPECS[dataset]["parts"])]
    return expand(pattern, dataset=dataset, part=parts)


def all_parts(pattern, datasets=tuple(SPECS)):
    """Paths of all parts of all data sets, or of some."""
    return [path for dataset in datasets for path in parts_of(pattern, dataset)]


def all_tokens():
    """Paths of all token streams."""
    return expand(
        all_parts("results/tokens/{{stream}}/{dataset}/part-{part}.parquet", SCORED),
        stream=config["baselines"],
    )


def trained_seeds(system):
    """Seeds that the setting of a model is trained with."""
    return config["own_seeds"].get(setting_of(system), config["seeds"])


def seeds_of(system):
    """Seeds of a model; an ensemble is one model of all of them."""
    return ["all"] if decoding_of(system)["ensemble"] else trained_seeds(system)


def all_checkpoints(name):
    """Paths of a file that every training writes."""
    return sorted(
        {
            f"results/checkpoints/{setting_of(system)}/{training_name(scheme, seed)}/{name}"
            for scope in SCOPES
            for system in systems(scope)
            for scheme in schemes(scope)
            for seed in trained_seeds(system)
        }
    )


def probabilities(scope, system, dataset, seeds):
    """Paths of what a model, trained with some seeds, makes of a data set."""
    pattern = (
        "results/probabilities/{setting}/{training}/{leads}x{shifts}/{dataset}.parquet"
    )
    return expand(
        pattern,
        setting=setting_of(system),
        training=[
            training_name(scheme, seed) for scheme in schemes(scope) for seed in seeds
        ],
        leads=decoding_of(system)["leads"],
        shifts=decoding_of(system)["shifts"],
        dataset=dataset,
    )


def final_settings():
    """Settings that are scored on held-out records."""
    return list(dict.fromkeys(setting_of(system) for system in systems(HELD_OUT)))


def first_model(setting):
    """Path of the model that a setting makes with its first seed, and its first fold if it has them."""
    scope = HELD_OUT if setting in final_settings() else ALL
    training = training_name(schemes(scope)[0], trained_seeds(setting)[0])
    return f"results/checkpoints/{setting}/{training}/model.safetensors"


def all_cards():
    """Paths of the cards of models."""
    folded = [setting_of(system) for system in systems(ALL)]
    return expand(
        "results/model_cards/{setting}.md",
        setting=dict.fromkeys(final_settings() + folded),
    )


def all_timings():
    """Path of the times of models, on the first data set; none without models."""
    datasets = SCORED[:1] if systems(HELD_OUT) else []
    return expand("results/timings/models_{dataset}.tsv", dataset=datasets)


def probabilities_of(wildcards):
    """Paths of the probabilities that are decoded to the predictions of a model."""
    system, seed = wildcards.system, wildcards.seed
    seeds = trained_seeds(system) if seed == "all" else [seed]
    return probabilities(wildcards.scope, system, wildcards.dataset, seeds)


def predictions_of(scope, system, dataset):
    """Paths of the predictions of a system on a data set, one for each of its seeds."""
    if system.startswith("nk_"):
        return [f"results/predictions/{scope}/{system}/{dataset}.parquet"]
    return [
        f"results/predictions/{scope}/{system}/seed{seed}/{dataset}.parquet"
        for seed in seeds_of(system)
    ]


def of_all_datasets(scope, system, paths):
    """What a function of data sets gives for all that a system is scored on."""
    return [
        path for dataset in scored_datasets(scope, system) for path in paths(dataset)
    ]


def probabilities_in(scope, wildcards):
    """Paths of all that a model makes of the records of a scope."""
    return of_all_datasets(
        scope,
        wildcards.system,
        lambda dataset: probabilities(
            scope, wildcards.system, dataset, trained_seeds(wildcards.system)
        ),
    )


def shards_in(scope, wildcards):
    """Paths of the shards of the data sets that a model is scored on."""
    return of_all_datasets(
        scope,
        wildcards.system,
        lambda dataset: parts_of(
            "results/shards/{dataset}/part-{part}.parquet", dataset
        ),
    )


def calibrated():
    """Models of the held-out records whose waves follow from probabilities, or have regressed ends."""
    moving = ("label_ms", "min_run_ms", "p_off_shift_ms", "trim_p_sd", "refine")
    return [
        system
        for system in systems(HELD_OUT)
        if decoding_of(system)["offsets"] != DOUBLE_COUNTED
        and not any(decoding_of(system)[key] for key in moving)
    ]


def calibrations_of(names):
    """Paths of the tables of calibration, of those systems that have one."""
    return [
        f"results/metrics/calibration_{name}.tsv"
        for name in names
        if name in calibrated()
    ]


def all_calibrations():
    """Paths of the tables of calibration."""
    return calibrations_of(calibrated())


def all_grids():
    """Paths of the tables of cleanings."""
    return expand(
        "results/metrics/decoding_grid_{system}.tsv", system=config["decoding_grid"]
    )


def signals_to_decode(wildcards):
    """Shards, for decodings that look at the signal."""
    decoding = decoding_of(wildcards.system)
    looks = decoding["trim_p_sd"] or decoding["refine"]
    return shards_of(wildcards) if looks else []


def all_systems():
    """Models that are scored in any scope, in the order of the config."""
    return list(dict.fromkeys(name for scope in SCOPES for name in systems(scope)))


def run_entry(system):
    """What a system builds on, and how it differs from there."""
    setting, plus, _ = system.partition("+")
    decoding = differences(decoding_of(system), decoding_of(setting))
    base = config["settings"][setting].get("base", "")
    changes = differences(
        SETTINGS[setting],
        resolve_setting(config["settings"], base) if base else {},
    )
    own = {"base": setting, "changes": decoding} if plus else {"base": base}
    return {
        "decoding": decoding_named(system),
        "changes": changes if base else "",
    } | own


def pairs():
    """Systems with what they are compared with in each scope, and in what the two differ."""

    def values(system):
        return SETTINGS[setting_of(system)] | {"decoding": decoding_of(system)}

    found = []
    for scope in SCOPES:
        for system in systems(scope):
            reference = reference_of(
                system, systems(scope), config["settings"], config["decodings"]
            )
            if reference:
                changes = differences(values(system), values(reference))
                pair = {"system": system, "reference": reference, "changes": changes}
                found.append({"scope": scope} | pair)
    return found


def compared(paths):
    """What a function of scope, system and data set gives for all that is compared."""
    sides = [
        (pair["scope"], pair[side])
        for pair in pairs()
        for side in ("system", "reference")
    ]
    return [
        path
        for scope, system in dict.fromkeys(sides)
        for dataset in scored_datasets(scope, system)
        for path in paths(scope, system, dataset)
    ]


def effects():
    """Path of the table of effects, if anything is compared."""
    return ["results/metrics/effects.tsv"] if pairs() else []


def a_checkpoint_of_each_setting():
    """Paths of one checkpoint of every setting; which of them does not matter."""
    return [
        next(
            path for path in all_checkpoints("model.safetensors") if f"/{name}/" in path
        )
        for name in SETTINGS
    ]


def for_all_scored(paths):
    """What a function of scope, system and data set gives for all that is scored."""
    return [
        path
        for scope in SCOPES
        for system in scored_by(scope)
        for dataset in scored_datasets(scope, system)
        for path in paths(scope, system, dataset)
    ]


def all_scores(scores):
    """Paths of one kind of scores of all systems, scopes and data sets that it is for."""

    def path(scope, system, dataset):
        fits = SPECS[dataset]["layout"] in SCORES[scores][1]
        return (
            [f"results/scores/{scope}/{scores}/{system}/{dataset}.tsv"] if fits else []
        )

    return for_all_scored(path)


def all_between():
    """Paths of all that stands between the zips and the report, but for the tables.

    A job that fails loses its old output, and with it the note of what made that. If nothing asked
    for the output by name, the next run would take what was made from the lost one as up to date.
    """
    learnt = [
        path
        for scope in SCOPES
        for system in systems(scope)
        for dataset in scored_datasets(scope, system)
        for path in probabilities(scope, system, dataset, trained_seeds(system))
    ]
    simulated = [name for name, spec in SPECS.items() if "simulate" in spec]
    return (
        expand("results/simulated/{dataset}.zip", dataset=simulated)
        + expand("results/index/{dataset}.parquet", dataset=SPECS)
        + all_parts("results/records/{dataset}/part-{part}.parquet")
        + all_parts("results/shards/{dataset}/part-{part}.parquet")
        + all_tokens()
        + expand(
            "results/timings/{dataset}.tsv", dataset=SCORED if all_tokens() else []
        )
        + expand("results/settings/{setting}.yaml", setting=SETTINGS)
        + all_checkpoints("model.safetensors")
        + list(dict.fromkeys(learnt))
        + for_all_scored(predictions_of)
        + [path for scores in SCORES for path in all_scores(scores)]
        + all_timings()
        + all_cards()
    )


def collected():
    """Paths of the tables of scores that this run has."""
    return [f"results/metrics/{scores}.tsv" for scores in SCORES if all_scores(scores)]


def source_of(dataset):
    """What a data set is read from; data sets of one zip share their records."""
    return source_name(dataset, SPECS[dataset])


def one_per_zip(layout):
    """Data sets of a layout, the first of those that are read from one zip."""
    first = {}
    for dataset in SCORED:
        if SPECS[dataset]["layout"] == layout:
            first.setdefault(source_of(dataset), dataset)
    return list(first.values())


def all_automatic():
    """Paths of the scorer checks: data sets that carry automatic marks, whatever their windows."""
    return expand(
        "results/metrics/automatic_{dataset}.tsv", dataset=one_per_zip("qtdb")
    )


def all_pacing():
    """Paths of the pacing tables: data sets that say who is paced, whatever their windows."""
    return expand("results/metrics/pacing_{dataset}.tsv", dataset=one_per_zip("ludb"))


def pacing_timing():
    """Path of the timing of simulated spikes, beside pacing tables."""
    return ["results/metrics/pacing_timing.tsv"] if all_pacing() else []


def all_printed():
    """Paths of the tables that are printed, in the order of the report."""
    return expand("results/tables/{table}.tsv", table=TABLES)


def all_metrics():
    """Paths of all final tables."""
    stage1 = expand("results/metrics/{table}.tsv", table=["ablation", "stage1"])
    return (
        ["results/runs.tsv", "results/metrics/numbers.tsv"]
        + all_printed()
        + collected()
        + effects()
        + all_grids()
        + all_calibrations()
        + all_automatic()
        + all_pacing()
        + pacing_timing()
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
    return json.dumps(SETTINGS[wildcards.setting], sort_keys=True)


def decoding_text(wildcards):
    """How the probabilities of a model become waves, as JSON."""
    return json.dumps(decoding_of(wildcards.system), sort_keys=True)


def decoding_changes(wildcards):
    """In what the decoding that speaks for a setting differs from `plain`, as JSON."""
    plain = resolve_decoding(config["decodings"], PLAIN)
    final = by_own_decoding([*systems(HELD_OUT), *systems(ALL)])
    own = decoding_of(next(s for s in final if setting_of(s) == wildcards.setting))
    return json.dumps({key: own[key] for key in own if own[key] != plain[key]})


def architectures():
    """Names of the architectures of all settings."""
    return sorted({setting["model"]["architecture"] for setting in SETTINGS.values()})


def architecture_code(module):
    """Hash a step together with the architecture of the setting, which it imports by name."""

    def code(wildcards):
        architecture = SETTINGS[wildcards.setting]["model"]["architecture"]
        return code_hash(module, f"openecg.stage2.{architecture}")

    return code


def training_shards(wildcards):
    return [
        path
        for dataset in SETTINGS[wildcards.setting]["train_on"]
        for path in parts_of("results/shards/{dataset}/part-{part}.parquet", dataset)
    ]


def pretrained_files(wildcards):
    """Files that the encoder of a setting comes from, if it is a published one."""
    weights = SETTINGS[wildcards.setting]["model"].get("weights")
    if weights is None or not Path(weights).is_dir():
        return weights or []
    return sorted(str(path) for path in Path(weights).rglob("*") if path.is_file())


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
