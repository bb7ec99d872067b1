# One HTML page of the study, pages of flagged subjects, and what may be shared.
rule report:
    input:
        rules.collect.output,
        rules.associate.output,
        rules.fairness.output,
        rules.atlas.output if config["atlas"]["enabled"] else [],
        rules.rca_validity.output if config["rca"]["enabled"] else [],
        rules.visibility.output if config["visibility"]["enabled"] else [],
        rules.visibility_maps.output if attribution_maps() else [],
    output:
        f"{STUDY}/report/index.html",
        # What `snakemake --report` takes up: nothing that holds subjects.
        report(f"{STUDY}/share/index.html", category="Results that may be shared"),
        f"{STUDY}/provenance.json",
    log:
        f"{STUDY}/logs/report.log",
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("report"),
        config=GIVEN_FILES.file(config),
    shell:
        "logged {log:q} popscan report --study {params.study:q} --config {params.config:q}"
