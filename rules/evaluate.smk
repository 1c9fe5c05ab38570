rule predict:
    """Predict the frames and boundaries of the held-out records with a trained model."""
    input:
        model="results/checkpoints/{setting}/seed{seed}/model.safetensors",
        shards=shards_of,
    output:
        predictions="results/predictions/{setting}/seed{seed}/{dataset}.parquet",
    log:
        "results/logs/predict/{setting}.{seed}.{dataset}.log",
    benchmark:
        "results/benchmarks/predict/{setting}.{seed}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    threads: config["training_threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=20,
        gpu=1,
    params:
        code=architecture_code("openecg.stage2.predict"),
        split=spec_value("split.held_out"),
        threads=config["training_threads"],
    shell:
        "python -m openecg predict --model {input.model:q} --shards {input.shards:q}"
        " --split {params.split} --threads {params.threads} --predictions {output.predictions:q}"
        " &> {log:q}"


rule score:
    """Score the predictions of one run on one data set, in both protocols."""
    input:
        predictions="results/predictions/{run}/{dataset}.parquet",
        shards=shards_of,
    output:
        table="results/scores/{table}/{run}/{dataset}.tsv",
    log:
        "results/logs/score/{table}/{run}.{dataset}.log",
    benchmark:
        "results/benchmarks/score/{table}/{run}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=15,
    params:
        code=code_hash("openecg.metrics"),
        bootstrap=lookup(within=config, dpath="scoring/bootstrap"),
        seed=lookup(within=config, dpath="scoring/seed"),
    shell:
        "python -m openecg score-{wildcards.table} --predictions {input.predictions:q}"
        " --shards {input.shards:q} --bootstrap {params.bootstrap} --seed {params.seed}"
        " --table {output.table:q} &> {log:q}"


rule collect_metrics:
    """Put the scores of all runs and data sets into one table."""
    input:
        tables=expand(
            "results/scores/{{table}}/{run}/{dataset}.tsv", run=runs(), dataset=SPECS
        ),
    output:
        table="results/metrics/{table}.tsv",
    log:
        "results/logs/collect_metrics/{table}.log",
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.metrics"),
    shell:
        "python -m openecg collect-metrics --tables {input.tables:q} --table {output.table:q}"
        " &> {log:q}"


rule compare_streams:
    """Compare the token streams: scores, Q-loss, failed leads, time."""
    input:
        frames="results/metrics/frames.tsv",
        boundaries="results/metrics/boundaries.tsv",
        tokens=all_tokens(),
        timings=expand("results/timings/{dataset}.tsv", dataset=SPECS),
    output:
        table="results/metrics/ablation.tsv",
    log:
        "results/logs/compare_streams.log",
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.ablation"),
    shell:
        "python -m openecg compare-streams --frames {input.frames:q}"
        " --boundaries {input.boundaries:q} --tokens {input.tokens:q} --timings {input.timings:q}"
        " --table {output.table:q} &> {log:q}"


rule tabulate_stage1:
    """Put the figures of the original's stage 1 beside those it published."""
    input:
        ablation="results/metrics/ablation.tsv",
        frames="results/metrics/frames.tsv",
        boundaries="results/metrics/boundaries.tsv",
    output:
        table="results/metrics/stage1.tsv",
    log:
        "results/logs/tabulate_stage1.log",
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.stage1"),
        published=text_hash(PUBLISHED_NUMBERS),
    shell:
        "python -m openecg tabulate-stage1 --ablation {input.ablation:q} --frames {input.frames:q}"
        " --boundaries {input.boundaries:q} --table {output.table:q} &> {log:q}"


rule score_pacing:
    """Compare the detectors of pacemaker spikes, by record, by spike and in time."""
    input:
        records=lambda wildcards: parts_of(
            "results/records/{dataset}/part-{part}.parquet", wildcards.dataset
        ),
    output:
        table="results/metrics/pacing_{dataset}.tsv",
    log:
        "results/logs/score_pacing/{dataset}.log",
    benchmark:
        "results/benchmarks/score_pacing/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=15,
    params:
        code=code_hash("openecg.pacing_table"),
        folds=lookup(within=config, dpath="pacing/folds"),
        seed=lookup(within=config, dpath="pacing/seed"),
    shell:
        "python -m openecg score-pacing --records {input.records:q} --folds {params.folds}"
        " --seed {params.seed} --table {output.table:q} &> {log:q}"


rule score_automatic:
    """Score the automatic marks that QTDB carries, whose published figures check the scorer."""
    input:
        archive=zip_of,
    output:
        table="results/metrics/automatic_{dataset}.tsv",
    log:
        "results/logs/score_automatic/{dataset}.log",
    benchmark:
        "results/benchmarks/score_automatic/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=15,
    params:
        code=code_hash("openecg.automatic"),
        zip=zip_content,
        sha256=zip_sha256,
        published=text_hash(PUBLISHED_NUMBERS),
    shell:
        "python -m openecg score-automatic --archive {input.archive:q} --sha256={params.sha256:q}"
        " --dataset {wildcards.dataset} --table {output.table:q} &> {log:q}"
