# The study's tables: ledger, scores, QC, biomarkers; then what is computed from them.
rule collect:
    input:
        plan=f"{STUDY}/plan/plan.json",
        manifests=all_manifests,
        overrides=config["qc"]["overrides"] or [],
    output:
        ledger=f"{STUDY}/tables/ledger.parquet",
        biomarkers=f"{STUDY}/tables/biomarkers.parquet",
    log:
        f"{STUDY}/logs/collect.log",
    params:
        options=options("collect"),
    shell:
        "popscan collect --study {STUDY:q} --options {params.options:q}" + LOGGED


rule associate:
    input:
        rules.collect.output,
    output:
        f"{STUDY}/tables/associations.parquet",
    log:
        f"{STUDY}/logs/associate.log",
    params:
        options=options("associate"),
    shell:
        "popscan associate --study {STUDY:q} --options {params.options:q}" + LOGGED


rule fairness:
    input:
        rules.collect.output,
    output:
        f"{STUDY}/tables/fairness_gaps.parquet",
    log:
        f"{STUDY}/logs/fairness.log",
    params:
        options=options("fairness"),
    shell:
        "popscan fairness --study {STUDY:q} --options {params.options:q}" + LOGGED
