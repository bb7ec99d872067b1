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
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="qc",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("qc"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
