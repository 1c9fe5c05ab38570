rule write_tokens:
    """Delineate one part with a NeuroKit method and pack the events into token streams."""
    input:
        records="results/records/{dataset}/part-{part}.parquet",
    output:
        tokens=ensure(
            "results/tokens/{method}/{dataset}/part-{part}.parquet", non_empty=True
        ),
    log:
        "results/logs/write_tokens/{method}.{dataset}.{part}.log",
    benchmark:
        "results/benchmarks/write_tokens/{method}.{dataset}.{part}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        code=code_hash("openecg.tokens"),
        window_s=lookup(within=config, dpath="signal/window_s"),
    shell:
        "python -m openecg write-tokens --records {input.records:q} --tokens {output.tokens:q}"
        " --method {wildcards.method} --window-s {params.window_s} &> {log:q}"


rule predict_tokens:
    """Turn the token streams of the held-out records into frames and boundaries."""
    input:
        tokens=lambda wildcards: parts_of(
            "results/tokens/{{method}}/{dataset}/part-{part}.parquet",
            wildcards.dataset,
        ),
    output:
        predictions="results/predictions/nk_{method}/{dataset}.parquet",
    log:
        "results/logs/predict_tokens/{method}.{dataset}.log",
    benchmark:
        "results/benchmarks/predict_tokens/{method}.{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=10,
    params:
        code=code_hash("openecg.baseline"),
        split=spec_value("split.held_out"),
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
        n_frames=config["signal"]["window_s"] * 1000 // config["signal"]["frame_ms"],
    shell:
        "python -m openecg predict-tokens --tokens {input.tokens:q} --split {params.split}"
        " --frame-ms {params.frame_ms} --n-frames {params.n_frames}"
        " --predictions {output.predictions:q} &> {log:q}"
