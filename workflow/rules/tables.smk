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
    benchmark:
        f"{STUDY}/logs/collect.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("collect"),
    shell:
        "logged {log:q} popscan collect --study {params.study:q} --options {params.options:q}"


rule associate:
    input:
        rules.collect.output,
    output:
        f"{STUDY}/tables/associations.parquet",
    log:
        f"{STUDY}/logs/associate.log",
    benchmark:
        f"{STUDY}/logs/associate.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("associate"),
    shell:
        "logged {log:q} popscan associate --study {params.study:q} --options {params.options:q}"


rule fairness:
    input:
        rules.collect.output,
        f"{STUDY}/tables/atlas_distances.parquet" if config["atlas"]["enabled"] else [],
    output:
        f"{STUDY}/tables/fairness_gaps.parquet",
    log:
        f"{STUDY}/logs/fairness.log",
    benchmark:
        f"{STUDY}/logs/fairness.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("fairness"),
    shell:
        "logged {log:q} popscan fairness --study {params.study:q} --options {params.options:q}"
