rule simulate:
    """Write a zip of simulated records in the layout of a published release."""
    output:
        archive="results/simulated/{dataset}.zip",
    log:
        "results/logs/simulate/{dataset}.log",
    benchmark:
        "results/benchmarks/simulate/{dataset}.tsv"
    conda:
        "../envs/openecg.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        code=code_hash("openecg.simulate"),
        layout=spec_value("layout"),
        records=spec_value("simulate.records"),
        seed=spec_value("simulate.seed"),
    shell:
        "python -m openecg simulate --layout {params.layout} --records {params.records}"
        " --seed {params.seed} --archive {output.archive:q} &> {log:q}"


# A zip that lies in resources/ belongs to the user: this rule matches missing ones only, so that
# nothing, not even --forceall, deletes or rewrites one that is there.
rule fetch:
    """Download a published zip that is not in resources/ yet."""
    output:
        archive="resources/{name}",
    log:
        "results/logs/fetch/{name}.log",
    wildcard_constraints:
        name=one_of(name for name in PUBLISHED if not Path("resources", name).exists()),
    localrule: True
    conda:
        "../envs/openecg.yaml"
    params:
        url=lambda wildcards: PUBLISHED[wildcards.name]["url"],
        sha256=lambda wildcards: PUBLISHED[wildcards.name]["sha256"],
    shell:
        "python -m openecg fetch --url {params.url:q} --sha256={params.sha256:q}"
        " --archive {output.archive:q} 2>&1 | tee {log:q}"
