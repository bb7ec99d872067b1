# K-space to images; not applicable, and recorded as such, in image studies.
rule reconstruct:
    input:
        f"{STUDY}/manifests/ingest/{{shard}}.parquet",
    output:
        f"{STUDY}/manifests/reconstruct/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/reconstruct/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/reconstruct/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="reconstruct",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("reconstruct"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
