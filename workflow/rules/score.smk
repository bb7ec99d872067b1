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
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="score",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("score"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
