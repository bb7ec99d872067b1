# Population averages by map-reduce: every shard registers its subjects to the template of the round
# before and hands on sums; a round's sums become its template.
rule atlas_prepare:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
        # Not read; waited for, so that the three share one job of a cluster (profiles: groups).
        ancient(f"{STUDY}/manifests/qc/{{shard}}.parquet"),
        ancient(f"{STUDY}/manifests/biomarkers/{{shard}}.parquet"),
    output:
        f"{STUDY}/atlas/work/prepared/{{shard}}.npz",
    log:
        f"{STUDY}/logs/atlas/prepare-{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/atlas/prepare-{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("atlas_prepare"),
    shell:
        "logged {log:q} popscan atlas-prepare --study {params.study:q} --shard {wildcards.shard} --output {output:q}"
        " --options {params.options:q}"


# Who is analysed, manual overrides counted, and in which groups.
rule atlas_subjects:
    input:
        rules.collect.output,
    output:
        f"{STUDY}/atlas/work/members.parquet",
    log:
        f"{STUDY}/logs/atlas_subjects.log",
    benchmark:
        f"{STUDY}/logs/atlas_subjects.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("atlas_subjects"),
    shell:
        "logged {log:q} popscan atlas-subjects --study {params.study:q} --output {output:q}"
        " --options {params.options:q}"


rule atlas_map:
    input:
        prepared=f"{STUDY}/atlas/work/prepared/{{shard}}.npz",
        members=rules.atlas_subjects.output,
        template=template_before,
    output:
        f"{STUDY}/atlas/work/sums-{{iteration}}/{{shard}}.npz",
    log:
        f"{STUDY}/logs/atlas/map-{{iteration}}-{{shard}}.log",
    benchmark:
        f"{STUDY}/logs/atlas/map-{{iteration}}-{{shard}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("atlas_map"),
    shell:
        "logged {log:q} popscan atlas-map --prepared {input.prepared:q} --members {input.members:q} --template {input.template:q}"
        " --output {output:q} --options {params.options:q}"


rule atlas_reduce:
    input:
        sums=lambda wildcards: expand(
            f"{STUDY}/atlas/work/sums-{{iteration}}/{{shard}}.npz",
            iteration=wildcards.iteration,
            shard=shards(),
        ),
        template=template_before,
    output:
        f"{STUDY}/atlas/work/template-{{iteration}}.npz",
    log:
        f"{STUDY}/logs/atlas/reduce-{{iteration}}.log",
    benchmark:
        f"{STUDY}/logs/atlas/reduce-{{iteration}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("atlas_reduce"),
    shell:
        "logged {log:q} popscan atlas-reduce --study {params.study:q} --iteration {wildcards.iteration}"
        " --template {input.template:q} --output {output:q}"
        " --options {params.options:q}"


rule atlas:
    input:
        template=f"{STUDY}/atlas/work/template-{config['atlas']['iterations'] - 1}.npz",
        # Whose sums and fields the last round left.
        members=rules.atlas_subjects.output,
    output:
        f"{STUDY}/atlas/atlas.json",
        f"{STUDY}/tables/atlas_distances.parquet",
        f"{STUDY}/tables/atlas_effects.parquet",
        f"{STUDY}/tables/atlas_subjects.parquet",
    log:
        f"{STUDY}/logs/atlas/atlas.log",
    benchmark:
        f"{STUDY}/logs/atlas/atlas.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=options("atlas"),
    shell:
        "logged {log:q} popscan atlas --study {params.study:q} --template {input.template:q} --options {params.options:q}"
