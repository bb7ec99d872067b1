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
    threads: 1
    params:
        options=options("ingest"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL
