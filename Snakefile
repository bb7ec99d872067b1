# A population imaging study; stages per subject run in shards through one runner (workflow/rules).
from pathlib import Path

from snakemake.utils import min_version

from popscan.commands.configfile import loaded_problems
from popscan.config.several import is_several

min_version("9.27")


if not workflow.overwrite_configfiles:

    configfile: Path(workflow.basedir, "config/demo.yaml")


# As `popscan check` says it; what is left to `validate` is to fill in the defaults.
if workflow.is_main_process and (
    problems := loaded_problems(config, workflow.overwrite_configfiles)
):
    raise WorkflowError("\n".join(problems))


if is_several(config):

    include: "workflow/rules/several.smk"

else:

    include: "workflow/study.smk"


rule all:
    default_target: True
    input:
        TARGETS,
    localrule: True
