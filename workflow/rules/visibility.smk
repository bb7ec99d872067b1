# Can an attribute be seen? Features of every shard's subjects, then one cross-validation for all.
rule visibility_features:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
        model=model_files() if "latent" in config["visibility"]["sources"] else [],
    output:
        f"{STUDY}/visibility/features/{{shard}}.npz",
    log:
        f"{STUDY}/logs/visibility_features/{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/visibility_features/{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        study=study_folder,
        options=options("visibility_features"),
    shell:
        "logged {log:q} popscan visibility-features --study {params.study:q} --shard {wildcards.shard}"
        " --output {output:q} --threads {threads} --options {params.options:q}"


rule visibility:
    input:
        rules.collect.output,
        features=all_features,
    output:
        f"{STUDY}/tables/visibility.parquet",
        f"{STUDY}/tables/visibility_subjects.parquet",
    log:
        f"{STUDY}/logs/visibility.log",
    benchmark:
        f"{STUDY}/logs/visibility.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("visibility"),
    shell:
        "logged {log:q} popscan visibility --study {params.study:q}" " --options {params.options:q}"


rule visibility_maps:
    input:
        rules.collect.output,
        features=all_features,
        model=model_files(),
    output:
        f"{STUDY}/tables/visibility_attributions.parquet",
        f"{STUDY}/tables/visibility_map_subjects.parquet",
        f"{STUDY}/visibility/maps.npz",
    log:
        f"{STUDY}/logs/visibility_maps.log",
    benchmark:
        f"{STUDY}/logs/visibility_maps.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        study=study_folder,
        options=options("visibility_maps"),
    shell:
        "logged {log:q} popscan visibility-maps --study {params.study:q} --threads {threads}"
        " --options {params.options:q}"
