rule draw_rule_graph:
    """Draw which rule feeds which."""
    output:
        figure="results/figures/rules.svg",
    log:
        "results/logs/draw_rule_graph.log",
    localrule: True
    conda:
        "../envs/openecg.yaml"
    resources:
        # Not a param, since where a checkout lies must not make it run again.
        same_workflow=same_workflow(),
    params:
        code=code_hash("openecg.rulegraph"),
        rules=text_hash(*RULE_FILES),
        specs={name: sorted(spec) for name, spec in SPECS.items()},
        baselines=config["baselines"],
        train={name: setting["train_on"] for name, setting in SETTINGS.items()},
        scopes={scope: systems(scope) for scope in SCOPES},
    shell:
        "(python -m snakemake {resources.same_workflow} --rulegraph dot"
        " | python -m openecg draw-rule-graph --dot /dev/stdin --figure {output.figure:q}) &> {log:q}"


rule write_model_card:
    """Say in one page what a model is, how good it is, and where it is not."""
    input:
        model=lambda wildcards: first_model(wildcards.setting),
        numbers="results/metrics/numbers.tsv",
        runs="results/runs.tsv",
        calibrations=lambda wildcards: calibrations_of(
            name for name in calibrated() if setting_of(name) == wildcards.setting
        ),
        timings=all_timings(),
    output:
        card="results/model_cards/{setting}.md",
    log:
        "results/logs/write_model_card/{setting}.log",
    benchmark:
        "results/benchmarks/write_model_card/{setting}.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=architecture_code("openecg.model_card"),
        decoding=decoding_changes,
    shell:
        "python -m openecg write-model-card --setting {wildcards.setting} --model {input.model:q}"
        " --numbers {input.numbers:q} --runs {input.runs:q} --decoding {params.decoding:q}"
        " --calibrations {input.calibrations:q} --timings {input.timings:q} --card {output.card:q} &> {log:q}"


rule write_report:
    """Put tables, curves, strips and the rule graph into one page."""
    input:
        tables=all_printed(),
        numbers="results/metrics/numbers.tsv",
        runs="results/runs.tsv",
        effects=effects(),
        grids=all_grids(),
        calibrations=all_calibrations(),
        ablation="results/metrics/ablation.tsv" if config["baselines"] else [],
        stage1="results/metrics/stage1.tsv" if config["baselines"] else [],
        model_times=all_timings(),
        timings=(
            expand("results/timings/{dataset}.tsv", dataset=SCORED)
            if config["baselines"]
            else []
        ),
        pacing=all_pacing() + pacing_timing(),
        automatic=all_automatic(),
        cards=all_cards(),
        histories=all_checkpoints("history.tsv"),
        predictions=lambda wildcards: for_all_scored(predictions_of),
        shards=all_parts("results/shards/{dataset}/part-{part}.parquet"),
        rule_graph="results/figures/rules.svg",
    output:
        report="results/report.html",
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=code_hash("openecg.report.page"),
        goals=text_hash(GOALS),
        datasets=SCORED,
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
        strips=lookup(within=config, dpath="report/strips"),
    shell:
        "python -m openecg write-report --datasets {params.datasets} --tables {input.tables:q}"
        " --numbers {input.numbers:q} --runs {input.runs:q} --effects {input.effects:q}"
        " --grids {input.grids:q} --calibrations {input.calibrations:q}"
        " --ablation {input.ablation:q} --stage1 {input.stage1:q}"
        " --timings {input.timings:q} --model-times {input.model_times:q} --pacing {input.pacing:q} --automatic {input.automatic:q}"
        " --cards {input.cards:q}"
        " --histories {input.histories:q} --predictions {input.predictions:q}"
        " --shards {input.shards:q} --rule-graph {input.rule_graph:q}"
        " --frame-ms {params.frame_ms} --strips {params.strips} --report {output.report:q} &> {log:q}"
