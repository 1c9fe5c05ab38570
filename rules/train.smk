rule write_setting:
    """Write a setting, with its base merged in, for its training to read."""
    output:
        path="results/settings/{setting}.yaml",
    log:
        "results/logs/write_setting/{setting}.log",
    priority: 1  # trainings wait for it
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        code=code_hash("openecg.stage2.settings"),
        setting=setting_text,
    shell:
        "python -m openecg write-setting --setting {params.setting:q} --path {output.path:q}"
        " &> {log:q}"


rule train:
    """Train a setting on the records that its scheme learns from, on a GPU where there is one."""
    input:
        setting="results/settings/{setting}.yaml",
        shards=training_shards,
        pretrained=pretrained_files,
    output:
        model="results/checkpoints/{setting}/{training}/model.safetensors",
        history="results/checkpoints/{setting}/{training}/history.tsv",
    log:
        "results/logs/train/{setting}.{training}.log",
    benchmark:
        "results/benchmarks/train/{setting}.{training}.tsv"
    priority: 1  # the longest jobs first
    conda:
        "../envs/openecg.yaml"
    threads: config["training_threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=CARDS,
    params:
        code=architecture_code("openecg.stage2.train"),
        threads=config["training_threads"],
        precision=config["training_precision"],
        memory_mb=config["training_memory_mb"],
        scheme=lambda wildcards: wildcards.training.rpartition("-")[0] or HELD_OUT,
        seed=lambda wildcards: wildcards.training.rpartition("seed")[2],
    shell:
        # A signal to all processes is for the training, which saves: the shell and tee outlive it.
        "trap : TERM USR1; python -m openecg train --setting {input.setting:q} --shards {input.shards:q}"
        " --scheme {params.scheme} --seed {params.seed} --threads {params.threads}"
        " --precision {params.precision} --memory-mb {params.memory_mb} --model {output.model:q} --history {output.history:q} 2>&1"
        " | (trap '' TERM USR1; exec tee {log:q})"
