rule write_tokens:
    """Delineate one part with a NeuroKit method and pack the events into token streams."""
    input:
        records="results/records/{dataset}/part-{part}.parquet",
    output:
        tokens=ensure(
            "results/tokens/{stream}/{dataset}/part-{part}.parquet", non_empty=True
        ),
    log:
        "results/logs/write_tokens/{stream}.{dataset}.{part}.log",
    benchmark:
        "results/benchmarks/write_tokens/{stream}.{dataset}.{part}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("openecg.tokens"),
        method=stream_value("method"),
        pacer=stream_value("pacer"),
        grid=stream_value("grid"),
        window_s=lookup(within=config, dpath="signal/window_s"),
        windows=windows_text,
    shell:
        "python -m openecg write-tokens --records {input.records:q} --tokens {output.tokens:q}"
        " --stream {wildcards.stream} --method {params.method} --pacer {params.pacer}"
        " --grid {params.grid} --window-s {params.window_s} --windows {params.windows:q} &> {log:q}"


rule time_streams:
    """Measure what a token stream costs beside NeuroKit alone, in one process."""
    input:
        records="results/records/{dataset}/part-000.parquet",
    output:
        table="results/timings/{dataset}.tsv",
    log:
        "results/logs/time_streams/{dataset}.log",
    benchmark:
        "results/benchmarks/time_streams/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=code_hash("openecg.speed"),
        streams=json.dumps(
            {name: config["streams"][name] for name in config["baselines"]}
        ),
        leads=lookup(within=config, dpath="timing/leads"),
    shell:
        "python -m openecg time-streams --records {input.records:q} --dataset {wildcards.dataset}"
        " --streams {params.streams:q} --leads {params.leads} --table {output.table:q} &> {log:q}"


rule predict_tokens:
    """Turn the token streams of the scored records into frames and boundaries."""
    input:
        tokens=lambda wildcards: parts_of(
            "results/tokens/{{stream}}/{dataset}/part-{part}.parquet",
            wildcards.dataset,
        ),
    output:
        predictions="results/predictions/{scope}/nk_{stream}/{dataset}.parquet",
    log:
        "results/logs/predict_tokens/{scope}.{stream}.{dataset}.log",
    benchmark:
        "results/benchmarks/predict_tokens/{scope}.{stream}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("openecg.baseline"),
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
        n_frames=config["signal"]["window_s"] * 1000 // config["signal"]["frame_ms"],
    shell:
        "python -m openecg predict-tokens --tokens {input.tokens:q} --scope {wildcards.scope}"
        " --frame-ms {params.frame_ms} --n-frames {params.n_frames}"
        " --predictions {output.predictions:q} &> {log:q}"
