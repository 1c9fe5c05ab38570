# Turn dataset zips into frame-label shards, token streams, checkpoints, metric tables and a report.
#
# Paths, in the order data flows. {system} is nk_{stream}, {setting} or {setting}+{decoding}; {scope} is
# held_out, all or tuning and says which records are scored (openecg/selection.py); {training} is
# seed{seed}, or for a fold of the other two all{fold}-seed{seed} or tuning{fold}-seed{seed}:
#   resources/{name}.zip or results/simulated/{dataset}.zip
#   results/index/{dataset}.parquet              records, their split, fold and part
#   results/records/{dataset}/part-{part}.parquet    signals and marks at the native rate
#   results/shards/{dataset}/part-{part}.parquet     windows at the working rate, frame labels
#   results/tokens/{stream}/{dataset}/part-{part}.parquet
#   results/checkpoints/{setting}/{training}/model.safetensors, history.tsv
#   results/probabilities/{setting}/{training}/{leads}x{shifts}/{dataset}.parquet
#   results/predictions/{scope}/{system}/seed{seed}/{dataset}.parquet    token streams: no seed
#   results/scores/{scope}/{scores}/{system}/{dataset}.tsv
#   results/metrics/{scores}.tsv                     all of them
#   results/model_cards/{setting}.md
#   results/report.html
from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/workflow_config.yaml"


include: "rules/common.smk"
include: "rules/fetch.smk"
include: "rules/shards.smk"
include: "rules/tokens.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    hold()
    look_once_a_second()


rule all:
    """Everything, up to the report; what of it is missing is made again, but for fetched zips."""
    default_target: True
    input:
        rules.write_report.output,
        all_metrics(),
        all_between(),
        rules.draw_rule_graph.output,


rule shards:
    """All frame-label shards, and nothing after them."""
    input:
        all_parts("results/shards/{dataset}/part-{part}.parquet"),


rule tokens:
    """All token streams, and nothing after them."""
    input:
        all_tokens(),


rule checkpoints:
    """All trained models, and nothing after them."""
    input:
        all_checkpoints("model.safetensors"),


rule metrics:
    """All metric tables, without the report."""
    input:
        all_metrics(),
