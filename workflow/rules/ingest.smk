# Raw scans to one checked 4D scan per view.
rule ingest:
    input:
        f"{STUDY}/plan/shards/{{shard}}.jsonl",
        f"{STUDY}/manifests/simulate/{{shard}}.parquet" if "simulate" in STAGES else [],
    output:
        f"{STUDY}/manifests/ingest/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/ingest/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/ingest/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="ingest",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("ingest"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
