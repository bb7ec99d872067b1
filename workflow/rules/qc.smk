# Image and segmentation checks.
rule qc:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
    output:
        f"{STUDY}/manifests/qc/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/qc/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/qc/{{shard}}.benchmark.tsv"
    threads: 1
    params:
        options=options("qc"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
