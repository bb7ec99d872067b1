# How far predicted Dice can be relied on.
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
