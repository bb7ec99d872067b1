# Images to labels. Asks for a GPU in the cluster profiles.
rule segment:
    input:
        f"{STUDY}/manifests/reconstruct/{{shard}}.parquet",
        model=model_files(),
    output:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/segment/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/segment/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 2
    params:
        stage="segment",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("segment"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
