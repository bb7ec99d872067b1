# Reference cases, to which every segmentation is carried for a predicted Dice.
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
