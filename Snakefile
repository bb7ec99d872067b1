# A population imaging study; stages per subject run in shards through one runner (workflow/rules).
import copy
from pathlib import Path

from snakemake.utils import min_version, validate

from popscan.commands.configfile import loaded_problems
from popscan.config import fill_in

min_version("9.27")


if not workflow.overwrite_configfiles:

    configfile: Path(workflow.basedir, "config/demo.yaml")


# As `popscan check` says it; what is left to `validate` is to fill in the defaults.
if workflow.is_main_process and (
    problems := loaded_problems(config, workflow.overwrite_configfiles)
):
    raise WorkflowError("\n".join(problems))


# What the files give, before defaults make all keys look alike.
GIVEN = copy.deepcopy(dict(config))

validate(config, Path(workflow.basedir, "workflow/schemas/config.schema.json"))
fill_in(config, GIVEN)


include: "workflow/rules/common.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/rca_references.smk"
include: "workflow/rules/subject.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/atlas.smk"
include: "workflow/rules/rca.smk"
include: "workflow/rules/visibility.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/experiment.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        study_targets,
