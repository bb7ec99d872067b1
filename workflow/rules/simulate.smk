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
    threads: 1
    params:
        options=options("simulate"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
