# One HTML page of the study, pages of flagged subjects, and what may be shared.
rule report:
    input:
        rules.collect.output,
        rules.associate.output,
        rules.fairness.output,
        rules.atlas.output if config["atlas"]["enabled"] else [],
    output:
        f"{STUDY}/report/index.html",
        f"{STUDY}/provenance.json",
    log:
        f"{STUDY}/logs/report.log",
    params:
        options=options("report"),
        config=json.dumps(config, sort_keys=True),
    shell:
        "popscan report --study {STUDY:q} --config {params.config:q}" + LOGGED
