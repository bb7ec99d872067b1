# Predicted Dice without a reference: every segmentation is carried to a few reference cases.
rule rca_references:
    input:
        labelled_subjects,
        config["qc"]["overrides"] or [],
    output:
        f"{STUDY}/rca/references.npz",
    log:
        f"{STUDY}/logs/rca_references.log",
    benchmark:
        f"{STUDY}/logs/rca_references.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("rca_references"),
    shell:
        "logged {log:q} popscan rca-references --study {params.study:q} --output {output:q}"
        " --options {params.options:q}"


rule rca:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
        rules.rca_references.output,
    output:
        f"{STUDY}/manifests/rca/{{shard}}.parquet",
    log:
        f"{STUDY}/logs/rca/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/rca/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        stage="rca",
        study=study_folder,
        max_failed=MAX_FAILED,
        options=options("rca"),
        subjects=SUBJECTS,
    shell:
        STAGE_SHELL


rule rca_validity:
    input:
        rules.collect.output,
    output:
        f"{STUDY}/tables/rca_validity.parquet",
    log:
        f"{STUDY}/logs/rca_validity.log",
    benchmark:
        f"{STUDY}/logs/rca_validity.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("rca_validity"),
    shell:
        "logged {log:q} popscan rca-validity --study {params.study:q} --options {params.options:q}"
