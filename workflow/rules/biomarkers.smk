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
    threads: 1
    params:
        options=options("biomarkers"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
