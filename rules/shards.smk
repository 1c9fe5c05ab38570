rule index_records:
    """List the records of a zip with their split, fold and part."""
    input:
        archive=zip_of,
    output:
        index="results/index/{dataset}.parquet",
    log:
        "results/logs/index_records/{dataset}.log",
    benchmark:
        "results/benchmarks/index_records/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=layout_code("openecg.index"),
        zip=zip_content,
        sha256=zip_sha256,
        layout=spec_value("layout"),
        parts=spec_value("parts"),
        split=spec_value("split.rule"),
        held_out=spec_value("split.held_out"),
        fraction=spec_value("split.fraction"),
        seed=spec_value("split.seed"),
    shell:
        "python -m openecg index-records --archive {input.archive:q} --sha256={params.sha256:q}"
        " --dataset {wildcards.dataset} --layout {params.layout} --parts {params.parts}"
        " --split {params.split} --held-out {params.held_out} --fraction {params.fraction}"
        " --seed {params.seed} --index {output.index:q} &> {log:q}"


rule read_records:
    """Read the signals and marks of one part of a zip, checked, at the native rate."""
    input:
        archive=zip_of,
        index="results/index/{dataset}.parquet",
    output:
        records="results/records/{dataset}/part-{part}.parquet",
    log:
        "results/logs/read_records/{dataset}.{part}.log",
    benchmark:
        "results/benchmarks/read_records/{dataset}.{part}.tsv"
    priority: 1  # the longest jobs wait for all records
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        code=layout_code("openecg.records"),
        zip=zip_content,
        layout=spec_value("layout"),
    shell:
        "python -m openecg read-records --archive {input.archive:q} --index {input.index:q}"
        " --layout {params.layout} --part {wildcards.part} --records {output.records:q} &> {log:q}"


rule write_shard:
    """Cut one part into windows at the working rate with their frame labels."""
    input:
        records="results/records/{dataset}/part-{part}.parquet",
    output:
        shard=ensure("results/shards/{dataset}/part-{part}.parquet", non_empty=True),
    log:
        "results/logs/write_shard/{dataset}.{part}.log",
    benchmark:
        "results/benchmarks/write_shard/{dataset}.{part}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("openecg.shards"),
        fs_hz=lookup(within=config, dpath="signal/fs_hz"),
        frame_ms=lookup(within=config, dpath="signal/frame_ms"),
        window_s=lookup(within=config, dpath="signal/window_s"),
        windows=windows_text,
    shell:
        "python -m openecg write-shard --records {input.records:q} --shard {output.shard:q}"
        " --fs-hz {params.fs_hz} --frame-ms {params.frame_ms} --window-s {params.window_s}"
        " --windows {params.windows:q} &> {log:q}"
