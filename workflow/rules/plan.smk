# Who is in which shard. The registry is append-only and therefore no output: Snakemake deletes
# outputs before a job runs.
localrules:
    plan,


checkpoint plan:
    input:
        plan_inputs,
    output:
        plan=f"{STUDY}/plan/plan.json",
    log:
        f"{STUDY}/logs/plan.log",
    benchmark:
        f"{STUDY}/logs/plan.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("plan"),
    shell:
        "logged {log:q} popscan plan --study {params.study:q} --trust-folders --options {params.options:q}"
