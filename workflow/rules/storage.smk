# What is not kept goes, or what is kept is packed, once nothing in the study is going to read it. Jobs
# do most of it at their own end; this is what the report still showed, and what was kept by an earlier
# config.
rule clear_storage:
    input:
        all_manifests,
        rules.report.output,
    output:
        f"{STUDY}/storage.json",
    log:
        f"{STUDY}/logs/storage.log",
    localrule: True
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        keep=config["storage"]["keep"] + (" archives" if config["storage"]["archives"] else ""),
    shell:
        "logged {log:q} popscan storage {params.study:q} --output {output:q}"
