# Who is in which shard. The registry is append-only and therefore no output: Snakemake deletes
# outputs before a job runs.
checkpoint plan:
    input:
        plan_inputs,
    output:
        plan=f"{STUDY}/plan/plan.json",
    log:
        f"{STUDY}/logs/plan.log",
    benchmark:
        f"{STUDY}/logs/plan.benchmark.tsv"
    localrule: True
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("plan"),
        replace="--allow-replace" if config["allow_replace"] else "",
    shell:
        # Who left is not for the log alone.
        "logged {log:q} popscan plan --study {params.study:q} --trust-folders {params.replace}"
        " --options {params.options:q} && (grep '^withdrawn now' {log:q} >&2 || true)"
