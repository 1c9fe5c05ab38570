rule predict:
    """Say how probable each class is in the records that a trained model did not learn from."""
    input:
        model="results/checkpoints/{setting}/{training}/model.safetensors",
        shards=shards_of,
    output:
        probabilities="results/probabilities/{setting}/{training}/{leads}x{shifts}/{dataset}.parquet",
    log:
        "results/logs/predict/{setting}.{training}.{leads}x{shifts}.{dataset}.log",
    benchmark:
        "results/benchmarks/predict/{setting}.{training}.{leads}x{shifts}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    threads: config["training_threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
        gpu=CARDS,
    params:
        code=architecture_code("openecg.stage2.predict"),
        threads=config["training_threads"],
    shell:
        "python -m openecg predict --model {input.model:q} --shards {input.shards:q}"
        " --leads {wildcards.leads} --shifts {wildcards.shifts} --threads {params.threads}"
        " --probabilities {output.probabilities:q} &> {log:q}"


rule time_models:
    """Measure what the models cost beside NeuroKit, in one process on one thread."""
    input:
        models=lambda wildcards: map(first_model, final_settings()),
        records="results/records/{dataset}/part-000.parquet",
    output:
        table="results/timings/models_{dataset}.tsv",
    log:
        "results/logs/time_models/{dataset}.log",
    benchmark:
        "results/benchmarks/time_models/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=code_hash(
            "openecg.stage2.timing",
            *(
                f"openecg.stage2.{SETTINGS[name]['model']['architecture']}"
                for name in final_settings()
            ),
        ),
        decodings=lambda wildcards: json.dumps(
            [decoding_of(name) for name in final_settings()], sort_keys=True
        ),
        leads=lookup(within=config, dpath="timing/leads"),
    shell:
        "python -m openecg time-models --models {input.models:q} --decodings {params.decodings:q}"
        " --records {input.records:q}"
        " --dataset {wildcards.dataset} --leads {params.leads} --table {output.table:q} &> {log:q}"


rule decode:
    """Turn the probabilities of a model into frames and boundaries."""
    input:
        probabilities=probabilities_of,
        shards=signals_to_decode,
    output:
        predictions="results/predictions/{scope}/{system}/seed{seed}/{dataset}.parquet",
    log:
        "results/logs/decode/{scope}.{system}.{seed}.{dataset}.log",
    benchmark:
        "results/benchmarks/decode/{scope}.{system}.{seed}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("openecg.stage2.decode"),
        decoding=decoding_text,
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
    shell:
        "python -m openecg decode --probabilities {input.probabilities:q} --shards {input.shards:q}"
        " --decoding {params.decoding:q} --frame-ms {params.frame_ms} --system {wildcards.system:q}"
        " --seed {wildcards.seed} --predictions {output.predictions:q} &> {log:q}"


rule score:
    """Score the predictions of one system on one data set, with all its seeds."""
    input:
        predictions=lambda wildcards: predictions_of(
            wildcards.scope, wildcards.system, wildcards.dataset
        ),
        shards=shards_of,
    output:
        table="results/scores/{scope}/{scores}/{system}/{dataset}.tsv",
    log:
        "results/logs/score/{scope}.{scores}.{system}.{dataset}.log",
    benchmark:
        "results/benchmarks/score/{scope}.{scores}.{system}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=lambda wildcards: code_hash(SCORES[wildcards.scores][0]),
        bootstrap=lookup(within=config, dpath="scoring/bootstrap"),
        seed=lookup(within=config, dpath="scoring/seed"),
    shell:
        "python -m openecg score-{wildcards.scores} --predictions {input.predictions:q}"
        " --shards {input.shards:q} --bootstrap {params.bootstrap} --seed {params.seed}"
        " --table {output.table:q} &> {log:q}"


rule collect_metrics:
    """Put the scores of all systems and data sets into one table."""
    input:
        tables=lambda wildcards: all_scores(wildcards.scores),
    output:
        table="results/metrics/{scores}.tsv",
    log:
        "results/logs/collect_metrics/{scores}.log",
    benchmark:
        "results/benchmarks/collect_metrics/{scores}.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.metrics"),
    shell:
        "python -m openecg collect-metrics --tables {input.tables:q} --table {output.table:q}"
        " &> {log:q}"


rule list_runs:
    """Say what each system is: what it learnt from, how, and how it was chosen."""
    input:
        models=a_checkpoint_of_each_setting(),
    output:
        table="results/runs.tsv",
    log:
        "results/logs/list_runs.log",
    benchmark:
        "results/benchmarks/list_runs.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash(
            "openecg.stage2.runs",
            *(f"openecg.stage2.{name}" for name in architectures()),
        ),
        systems=json.dumps({system: run_entry(system) for system in all_systems()}),
        streams=json.dumps(
            {f"nk_{name}": config["streams"][name] for name in config["baselines"]}
        ),
    shell:
        "python -m openecg list-runs --systems {params.systems:q} --streams {params.streams:q}"
        " --models {input.models:q} --table {output.table:q} &> {log:q}"


rule tabulate_numbers:
    """Put every number of the run into one long table, known ones beside."""
    input:
        scores=collected(),
        runs="results/runs.tsv",
    output:
        table="results/metrics/numbers.tsv",
    log:
        "results/logs/tabulate_numbers.log",
    benchmark:
        "results/benchmarks/tabulate_numbers.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.numbers"),
        published=text_hash(PUBLISHED_NUMBERS),
        sources=json.dumps({name: source_of(name) for name in SPECS}),
    shell:
        "python -m openecg tabulate-numbers --scores {input.scores:q} --runs {input.runs:q}"
        " --sources {params.sources:q} --table {output.table:q} &> {log:q}"


rule write_table:
    """Print one of the tables that are picked from the long one."""
    input:
        numbers="results/metrics/numbers.tsv",
    output:
        table="results/tables/{table}.tsv",
    log:
        "results/logs/write_table/{table}.log",
    benchmark:
        "results/benchmarks/write_table/{table}.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.tabulate"),
    shell:
        "python -m openecg write-table --numbers {input.numbers:q} --name {wildcards.table}"
        " --table {output.table:q} &> {log:q}"


rule compare_systems:
    """Say what each change does: systems against those that they are made from."""
    input:
        predictions=lambda wildcards: compared(predictions_of),
        shards=all_parts("results/shards/{dataset}/part-{part}.parquet", SCORED),
    output:
        table="results/metrics/effects.tsv",
    log:
        "results/logs/compare_systems.log",
    benchmark:
        "results/benchmarks/compare_systems.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("openecg.effects"),
        pairs=json.dumps(pairs()),
        bootstrap=lookup(within=config, dpath="scoring/bootstrap"),
        seed=lookup(within=config, dpath="scoring/seed"),
    shell:
        "python -m openecg compare-systems --pairs {params.pairs:q}"
        " --predictions {input.predictions:q} --shards {input.shards:q}"
        " --bootstrap {params.bootstrap} --seed {params.seed} --table {output.table:q} &> {log:q}"


rule score_decoding_grid:
    """Decode the probabilities of one system with a grid of cleanings, on tuning records."""
    input:
        probabilities=lambda wildcards: probabilities_in(TUNING, wildcards),
        shards=lambda wildcards: shards_in(TUNING, wildcards),
    output:
        table="results/metrics/decoding_grid_{system}.tsv",
    log:
        "results/logs/score_decoding_grid/{system}.log",
    benchmark:
        "results/benchmarks/score_decoding_grid/{system}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("openecg.stage2.decoding_grid"),
        decoding=decoding_text,
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
        bootstrap=lookup(within=config, dpath="scoring/bootstrap"),
        seed=lookup(within=config, dpath="scoring/seed"),
    shell:
        "python -m openecg score-decoding-grid --probabilities {input.probabilities:q}"
        " --shards {input.shards:q} --decoding {params.decoding:q} --frame-ms {params.frame_ms}"
        " --system {wildcards.system:q} --bootstrap {params.bootstrap} --seed {params.seed}"
        " --table {output.table:q} &> {log:q}"


rule calibrate:
    """Compare the probabilities of one system with how often they come true."""
    input:
        probabilities=lambda wildcards: probabilities_in(HELD_OUT, wildcards),
        shards=lambda wildcards: shards_in(HELD_OUT, wildcards),
    output:
        table="results/metrics/calibration_{system}.tsv",
    log:
        "results/logs/calibrate/{system}.log",
    benchmark:
        "results/benchmarks/calibrate/{system}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=code_hash("openecg.stage2.calibration"),
        decoding=decoding_text,
        bootstrap=lookup(within=config, dpath="scoring/bootstrap"),
        seed=lookup(within=config, dpath="scoring/seed"),
    shell:
        "python -m openecg calibrate --probabilities {input.probabilities:q}"
        " --shards {input.shards:q} --decoding {params.decoding:q} --system {wildcards.system:q}"
        " --bootstrap {params.bootstrap} --seed {params.seed} --table {output.table:q} &> {log:q}"


rule compare_streams:
    """Compare the token streams: scores, Q-loss, failed leads, time."""
    input:
        frames="results/metrics/frames.tsv",
        boundaries="results/metrics/boundaries.tsv",
        tokens=all_tokens(),
        timings=expand("results/timings/{dataset}.tsv", dataset=SCORED),
    output:
        table="results/metrics/ablation.tsv",
    log:
        "results/logs/compare_streams.log",
    benchmark:
        "results/benchmarks/compare_streams.tsv"
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
        pacing=all_pacing(),
    output:
        table="results/metrics/stage1.tsv",
    log:
        "results/logs/tabulate_stage1.log",
    benchmark:
        "results/benchmarks/tabulate_stage1.tsv"
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.stage1"),
        published=text_hash(PUBLISHED_NUMBERS),
        goals=text_hash(GOALS),
    shell:
        "python -m openecg tabulate-stage1 --ablation {input.ablation:q} --frames {input.frames:q}"
        " --boundaries {input.boundaries:q} --pacing {input.pacing:q} --table {output.table:q}"
        " &> {log:q}"


rule score_pacing:
    """Compare the detectors of pacemaker spikes, and answer for each record if it is paced."""
    input:
        records=lambda wildcards: parts_of(
            "results/records/{dataset}/part-{part}.parquet", wildcards.dataset
        ),
    output:
        table="results/metrics/pacing_{dataset}.tsv",
        answers="results/metrics/pacing_records_{dataset}.tsv",
    log:
        "results/logs/score_pacing/{dataset}.log",
    benchmark:
        "results/benchmarks/score_pacing/{dataset}.tsv"
    priority: 1  # of the long jobs the one that cannot be divided
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        # 20 seconds for 100 records on one core
        runtime=lambda wildcards, input, attempt: (30 + len(input.records)) * attempt,
    params:
        code=code_hash("openecg.pacing_table"),
        folds=lookup(within=config, dpath="pacing/folds"),
        seed=lookup(within=config, dpath="pacing/seed"),
    shell:
        "python -m openecg score-pacing --records {input.records:q} --folds {params.folds}"
        " --seed {params.seed} --table {output.table:q} --answers {output.answers:q} &> {log:q}"


rule time_spikes:
    """Measure how exactly simulated pacemaker spikes are timed."""
    output:
        table="results/metrics/pacing_timing.tsv",
    log:
        "results/logs/time_spikes.log",
    benchmark:
        "results/benchmarks/time_spikes.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("openecg.pacing_table"),
        seed=lookup(within=config, dpath="pacing/seed"),
    shell:
        "python -m openecg time-spikes --seed {params.seed} --table {output.table:q} &> {log:q}"


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
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=code_hash("openecg.automatic"),
        zip=zip_content,
        sha256=zip_sha256,
        published=text_hash(PUBLISHED_NUMBERS),
    shell:
        "python -m openecg score-automatic --archive {input.archive:q} --sha256={params.sha256:q}"
        " --dataset {wildcards.dataset} --table {output.table:q} &> {log:q}"
