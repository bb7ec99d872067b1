# An experiment: trainings on purposely unbalanced data, one job each, all tested on the same
# subjects. Runs in place of the study when the config names an attribute (experiment.attribute).
# As a path: what Snakemake makes of an output (a flag, a place in a store) cannot be expanded again.
TRIAL_MANIFEST = f"{STUDY}/experiment/manifests/experiment_trial/{{trial}}.parquet"


wildcard_constraints:
    part=r"\d{5}",
    trial="|".join(map(re.escape, TRIALS)) or "none",


rule experiment_data:
    output:
        f"{STUDY}/experiment/manifests/experiment_data/{{part}}.parquet",
    log:
        f"{STUDY}/logs/experiment/data-{{part}}.log",
    benchmark:
        f"{STUDY}/logs/experiment/data-{{part}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        study=study_folder,
        options=experiment_options(
            "attribute",
            "recipe",
            "field_px",
            "slice_distance_mm",
            "data_jobs",
            "train_on",
            "audit",
        ),
    shell:
        "logged {log:q} popscan experiment-data --study {params.study:q} --part {wildcards.part}"
        " --options {params.options:q}"


rule experiment_split:
    input:
        expand(
            f"{STUDY}/experiment/manifests/experiment_data/{{part}}.parquet",
            part=[f"{part:05d}" for part in range(EXPERIMENT["data_jobs"])],
        ),
    output:
        f"{STUDY}/experiment/split.json",
        f"{STUDY}/experiment/pack.npz",
    log:
        f"{STUDY}/logs/experiment/split.log",
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=experiment_options("attribute", "groups", "n_test", "data_jobs"),
    shell:
        "logged {log:q} popscan experiment-split --study {params.study:q} --options {params.options:q}"


# Training and test of one cell of the grid. Asks for a GPU in the cluster profiles; goes on from
# its checkpoint. A trial that fails is recorded as such and fails no job.
rule experiment_trial:
    input:
        rules.experiment_split.output,
    output:
        TRIAL_MANIFEST,
    log:
        f"{STUDY}/logs/experiment/{{trial}}.log",
    benchmark:
        f"{STUDY}/logs/experiment/{{trial}}.benchmark.tsv"
    conda:
        "../../envs/popscan.yaml"
    threads: 1
    params:
        study=study_folder,
        options=trial_options,
    shell:
        "logged {log:q} popscan experiment-trial --study {params.study:q} --trial {wildcards.trial}"
        " --threads {threads} --options {params.options:q}"


rule experiment:
    input:
        expand(TRIAL_MANIFEST, trial=TRIALS),
    output:
        f"{STUDY}/experiment/index.html",
        f"{STUDY}/experiment/tables/summary.parquet",
    log:
        f"{STUDY}/logs/experiment/experiment.log",
    conda:
        "../../envs/popscan.yaml"
    params:
        study=study_folder,
        options=GIVEN_FILES.file(
            {
                "experiment": EXPERIMENT,
                "study": {"seed": config["study"]["seed"]},
                "version": design.VERSION,
            },
            in_order=True,  # of the arms, the first without mitigation is the baseline
        ),
    shell:
        "logged {log:q} popscan experiment --study {params.study:q} --options {params.options:q}"
