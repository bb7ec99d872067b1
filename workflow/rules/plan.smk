# Who is in which shard. The registry is append-only and therefore no output: Snakemake deletes
# outputs before a job runs.
def plan_inputs(wildcards):
    """Folder of the raw data and cohort table, where they exist: new entries mean a new plan."""
    source = config["source"]
    table = source["participants"] or f"{source['root']}/participants.tsv"
    found = [
        p for p in (source["root"], table, config["cohort"]["exclude"]) if p and Path(p).exists()
    ]
    return [] if source["kind"] == "simulated" else found


localrules:
    plan,


checkpoint plan:
    input:
        plan_inputs,
    output:
        plan=f"{STUDY}/plan/plan.json",
    log:
        f"{STUDY}/logs/plan.log",
    params:
        options=options("plan"),
    shell:
        "popscan plan --study {STUDY:q} --options {params.options:q}" + LOGGED
