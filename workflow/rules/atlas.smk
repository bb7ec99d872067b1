# Population averages by map-reduce: every shard registers its subjects to the template of the round
# before and hands on sums; a round's sums become its template.
rule atlas_prepare:
    input:
        f"{STUDY}/manifests/segment/{{shard}}.parquet",
        f"{STUDY}/manifests/qc/{{shard}}.parquet",
        f"{STUDY}/manifests/biomarkers/{{shard}}.parquet",
    output:
        f"{STUDY}/atlas/work/prepared/{{shard}}.npz",
    log:
        f"{STUDY}/logs/atlas/prepare-{{shard}}.log",
    params:
        options=options("atlas"),
    shell:
        "popscan atlas-prepare --study {STUDY:q} --shard {wildcards.shard} --output {output:q}"
        " --options {params.options:q}" + LOGGED


def template_before(wildcards):
    """Template of the round before; none for the first."""
    before = int(wildcards.iteration) - 1
    return f"{STUDY}/atlas/work/template-{before}.npz" if before >= 0 else []


rule atlas_map:
    input:
        prepared=f"{STUDY}/atlas/work/prepared/{{shard}}.npz",
        template=template_before,
    output:
        f"{STUDY}/atlas/work/sums-{{iteration}}/{{shard}}.npz",
    log:
        f"{STUDY}/logs/atlas/map-{{iteration}}-{{shard}}.log",
    params:
        options=options("atlas"),
    shell:
        "popscan atlas-map --prepared {input.prepared:q} --template {input.template:q}"
        " --output {output:q} --options {params.options:q}" + LOGGED


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
    params:
        options=options("atlas"),
    shell:
        "popscan atlas-reduce --study {STUDY:q} --iteration {wildcards.iteration}"
        " --template {input.template:q} --output {output:q}"
        " --options {params.options:q}" + LOGGED


rule atlas:
    input:
        f"{STUDY}/atlas/work/template-{config['atlas']['iterations'] - 1}.npz",
    output:
        f"{STUDY}/atlas/atlas.json",
    log:
        f"{STUDY}/logs/atlas/atlas.log",
    params:
        options=options("atlas"),
    shell:
        "popscan atlas --study {STUDY:q} --template {input:q} --options {params.options:q}" + LOGGED
