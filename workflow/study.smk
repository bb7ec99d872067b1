# One study: a protocol, its subjects, tables and report. Of several protocols each is a module of
# this file (workflow/rules/several.smk).
import copy
from pathlib import Path

from snakemake.utils import validate

from popscan.config import fill_in

# What the files give, before defaults make all keys look alike.
GIVEN = copy.deepcopy(dict(config))

validate(config, Path(workflow.basedir, "workflow/schemas/config.schema.json"))
fill_in(config, GIVEN)


include: "rules/common.smk"
include: "rules/plan.smk"
include: "rules/rca_references.smk"
include: "rules/subject.smk"
include: "rules/tables.smk"
include: "rules/atlas.smk"
include: "rules/rca.smk"
include: "rules/visibility.smk"
include: "rules/report.smk"
include: "rules/storage.smk"
include: "rules/experiment.smk"


TARGETS = [study_targets]
