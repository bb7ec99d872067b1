# Labels to volumes, mass, function.
rule biomarkers:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
    output:
        f"{STUDY}/manifests/biomarkers/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/biomarkers/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/biomarkers/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="biomarkers",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("biomarkers"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
