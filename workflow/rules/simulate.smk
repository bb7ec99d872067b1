# The digital population: k-space or images of subjects whose truth is known.
rule simulate:
    input:
        f"{STUDY}/plan/shards/{{shard}}.jsonl",
    output:
        f"{STUDY}/manifests/simulate/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/simulate/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/simulate/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="simulate",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("simulate"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
