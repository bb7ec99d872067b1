# Segmentation and reconstruction against references, where there are any.
rule score:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
    output:
        f"{STUDY}/manifests/score/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/score/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/score/{{shard}}.benchmark.tsv"
    threads: 1
    params:
        options=options("score"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
