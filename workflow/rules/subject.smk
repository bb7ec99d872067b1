# Stages done per subject: one job per stage and shard. How they differ, each says of itself:
# src/popscan/stages/NAME/__init__.py.
for STAGE in SUBJECT_STAGES.values():

    rule:
        name:
            STAGE.name
        input:
            plan_of_shard(STAGE),
            manifests_above(STAGE),
            whole=outputs_above(STAGE),
            model=model_files() if STAGE.model else [],
        output:
            f"{STUDY}/manifests/{STAGE.name}/{{shard}}.parquet",
        log:
            f"{STUDY}/logs/{STAGE.name}/{{shard}}.log",
        benchmark:
            f"{STUDY}/logs/{STAGE.name}/{{shard}}.benchmark.tsv"
        conda:
            "../../envs/popscan.yaml"
        threads: STAGE.threads
        params:
            stage=STAGE.name,
            study=study_folder,
            max_failed=MAX_FAILED,
            options=options(STAGE.name, subjects=SUBJECTS),
        shell:
            "logged {log:q} popscan stage {params.stage} --study {params.study:q}"
            " --shard {wildcards.shard} --threads {threads} --options {params.options:q}"
            " --max-failed {params.max_failed}"
