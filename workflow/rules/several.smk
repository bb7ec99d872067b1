# A study of several protocols: each is a whole study in a folder of its own below the study's, by
# the same rules (a module each, names with the protocol before them); then what joins them.
from pathlib import Path

from popscan.config.several import part_configs, study_folder
from popscan.given import GivenFiles
from popscan.records import PopscanError
from popscan.study.joining_options import joined_options
from popscan.study.parts import check_folder

SEVERAL = study_folder(config)
PARTS = part_configs(config)
JOINT_FILES = GivenFiles(Path(SEVERAL, "params"))

if workflow.is_main_process:
    try:
        check_folder(Path(SEVERAL), PARTS)
    except PopscanError as error:
        raise WorkflowError(str(error))


def of_every_part(by_rule):
    """Return settings of a profile, which names rules without their protocol, for all parts."""
    named = {f"{part}_{rule}": value for part in PARTS for rule, value in by_rule.items()}
    return {**named, **by_rule}


SETTINGS, GROUPS = workflow.resource_settings, workflow.group_settings
SETTINGS.overwrite_resources = of_every_part(SETTINGS.overwrite_resources)
SETTINGS.overwrite_threads = of_every_part(SETTINGS.overwrite_threads)
GROUPS.overwrite_groups = of_every_part(GROUPS.overwrite_groups)

for PART, PART_CONFIG in PARTS.items():
    PART_ = f"{PART}_"

    module:
        name: PART
        snakefile:
            "../study.smk"
        config:
            PART_CONFIG

    use rule * from PART as PART_*


def of_part(name, part):
    """Return what a part's rule files define under a name."""
    return vars(globals()[part])[name]


onstart:
    for part in PARTS:
        of_part("onstart", part)()
    JOINT_FILES.write()


# One account of all subjects in all protocols, and the front page.
rule join:
    input:
        [
            f"{SEVERAL}/{part}/{name}"
            for part in PARTS
            for name in ("tables/ledger.parquet", "report/index.html", "provenance.json")
        ],
    output:
        f"{SEVERAL}/report/index.html",
        expand(
            f"{SEVERAL}/tables/{{name}}.{{form}}",
            name=("ledger", "subjects", "biomarkers"),
            form=("parquet", "json"),
        ),
    log:
        f"{SEVERAL}/logs/join.log",
    conda:
        "../../envs/popscan.yaml"
    params:
        study=SEVERAL,
        options=JOINT_FILES.file(joined_options(list(PARTS)), in_order=True),
    shell:
        "logged {log:q} popscan join --study {params.study:q} --options {params.options:q}"


TARGETS = [of_part("study_targets", part) for part in PARTS]
# As for one protocol: of some subjects only what is made per subject.
TARGETS += [] if config.get("subjects") else rules.join.output
