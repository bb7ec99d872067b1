# The study's tables: ledger, scores, QC, biomarkers; then what is computed from them.
rule collect:
    input:
        plan=f"{STUDY}/plan/plan.json",
        manifests=all_manifests,
        overrides=config["qc"]["overrides"] or [],
    output:
        tables(
            "participants",
            "ledger",
            "cost",
            "qc",
            "qc_checks",
            "segmentation",
            "scores",
            "biomarkers",
        ),
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
        tables("associations", "reference_ranges"),
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
        predictions=config["fairness"]["predictions"]["table"] or [],
    output:
        tables("fairness_gaps", "fairness_groups", "fairness_summary"),
        f"{STUDY}/tables/fairness_sentences.txt",
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
