# What the rules share: paths, the options that a stage is given, and the shards of the study.
import json
import os
import re
import shlex
import sys

from popscan.archive import FOLDER as ARCHIVES
from popscan.executors import executor_problem, storage_problem
from popscan.experiment import design
from popscan.given import GivenFiles
from popscan.inventory import damaged_outputs, is_small
from popscan.lock import StudyLock, clear_stale_locks
from popscan.names import name_list, resolve_units
from popscan.study.identity import check_before_run
from popscan.study.parts import check_folder
from popscan.study.storage_choice import Choice
from popscan.registry import read_registry
from popscan.protocols import get_protocol, protocol_key
from popscan.records import PopscanError
from popscan.stages import STAGES as DESCRIBED
from popscan.stages import (
    OPTIONAL_STAGES,
    STUDY_STAGES,
    SUBJECT_STAGES,
    optional_stages,
    stages_of,
    upstream_of,
    version_of,
)

PROTOCOL = get_protocol(config["protocol"])
STUDY = f"{config['study']['results']}/{config['study']['name']}"
STAGES = stages_of(config["source"]["kind"], optional=optional_stages(config))
SUBJECTS = name_list(config["subjects"])

# Told here: an input that is missing does not stop Snakemake where an older plan exists.
EXCLUDED = config["cohort"]["exclude"]
if EXCLUDED and not Path(EXCLUDED).is_file():
    raise WorkflowError(f"cohort.exclude: {EXCLUDED}: no such file")

# Said before any job: the first would end without the outputs that Snakemake looks for in the store.
if problem := storage_problem(workflow.storage_settings.default_storage_provider):
    raise WorkflowError(problem)

EXPERIMENT = config["experiment"]
if EXPERIMENT["attribute"] and (problems := design.problems(EXPERIMENT)):
    raise WorkflowError("; ".join(problems))
TRIALS = {trial.name: trial for trial in design.trials(EXPERIMENT)}

MAX_FAILED = "{max_failed_fraction} {max_failed_min}".format(**config["plan"])

# Commands are those of the Python that runs Snakemake, also when its environment is not activated.
# `logged FILE COMMAND...` sends a command's output to its log and shows the log's end if it fails.
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; "
    'logged() {{ local log=$1; shift; "$@" > "$log" 2>&1'
    ' || {{ tail -n 5 "$log" >&2; exit 1; }}; }}; '
)

# One Snakemake per study, and no --unlock after one was killed: `shards` clears what it left.
STUDY_LOCK = StudyLock(Path(STUDY))
# What jobs are given; a command line holds 128 kB.
GIVEN_FILES = GivenFiles(Path(STUDY, "params"))
# What was found lost or changed, once it was looked for.
DAMAGE = {}

# Before anything of another study is touched.
if workflow.is_main_process:
    try:
        check_folder(Path(STUDY), [])
        check_before_run(Path(STUDY), config)
    except PopscanError as error:
        raise WorkflowError(str(error))


onstart:
    # Names of columns and groups, before hours of work end at one that does not exist. Imported
    # here, since jobs read this file, too.
    from popscan.study.columns import check_before_run

    if wrong := check_before_run(GIVEN):
        raise WorkflowError("\n".join(wrong))
    try:
        STUDY_LOCK.acquire()
    except BlockingIOError as error:
        raise WorkflowError(str(error))
    GIVEN_FILES.write()
    STORAGE.write(Path(STUDY))


wildcard_constraints:
    shard=r"\d{5}",
    iteration=r"\d+",


def study_folder(wildcards):
    """Folder of the study's results."""
    return STUDY


def options(stage, **further):
    """File with what a stage is given of the config: another content means that it runs again."""
    given = DESCRIBED[stage].sections_of(config)
    # The name and place of a study change none of its results.
    given["study"] = {"seed": config["study"]["seed"]}
    # With its version where that was raised: the protocol's code is the stage's, too.
    given |= {"protocol": config["protocol"], **protocol_key(PROTOCOL)}
    if DESCRIBED[stage].options:
        given["stages"] = {stage: config["stages"].get(stage, {})}
    further = {key: value for key, value in further.items() if value}
    return GIVEN_FILES.file({"version": version_of(stage), **given, **further})


def storage_choice():
    """What jobs know of storage: stages that read files, and how those that made them were run."""
    results = {
        "atlas_prepare": "atlas",
        "visibility_features": "visibility",
        "rca_references": "rca",
    }
    further = [name for name, section in results.items() if config[section]["enabled"]]
    given = {name: Path(options(name)).name for name in STAGES}
    return Choice(**config["storage"], stages=[*STAGES, *further], given=given)


STORAGE = storage_choice()


def plan_of_shard(stage):
    """The plan of a shard, for stages that read the raw data or the cohort table."""
    return f"{STUDY}/plan/shards/{{shard}}.jsonl" if "plan" in stage.reads else []


def manifests_above(stage):
    """Manifests of the stages right above a per-subject stage, in this study."""
    names = [name for name in upstream_of(stage.name) if name in STAGES]
    return [f"{STUDY}/manifests/{name}/{{shard}}.parquet" for name in names]


def outputs_above(stage):
    """What rules of the whole study make that a per-subject stage reads."""
    names = [name for name in stage.reads if name in STUDY_STAGES and name != "plan"]
    return [path for name in names for path in getattr(rules, name).output]


def check_executor():
    """Stop before the first job where the cluster's commands are missing: jobs would never end."""
    if not workflow.is_main_process or workflow.dryrun or workflow.executor_plugin is None:
        return
    status = getattr(workflow.executor_settings, "status_command", None)
    if problem := executor_problem(workflow.executor_plugin.name, status_command=status):
        # Not as an error of an input function, which would bury the sentence in a traceback.
        sys.exit(f"Error: {problem}")


def clear_unfinished():
    """Let what a killed run left be made again, without a question."""
    check_executor()
    # As --rerun-incomplete: what a killed run left unfinished is made again, and that is cheap,
    # since the journals spare all subjects that it had done. Known only once the DAG is built.
    workflow.dag_settings.force_incomplete = True
    if workflow.is_main_process and not workflow.dryrun:
        clear_stale_locks(Path(".snakemake"), STUDY)
    make_damaged_again()


def make_damaged_again():
    """Have outputs made again of which a file is lost or was changed since it was written.

    A dry run of a large study looks at tables, pages, manifests and journals, not at the files of
    every subject: those are asked for before real work.
    """
    if "looked" in DAMAGE or not workflow.is_main_process or not STUDY_LOCK.is_free():
        return
    DAMAGE["looked"] = []
    for root in (Path(STUDY), Path(STUDY, "experiment")):
        for output, files in damaged_outputs(
            root, subject_files=is_small(root) or not workflow.dryrun
        ).items():
            workflow.dag.forcefiles.add(f"{root}/{output}")
            DAMAGE["looked"] += files
    if names := DAMAGE["looked"]:
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        logger.info(f"{len(names)} files of {STUDY} are lost or were changed: {listed}")


def shards(wildcards=None):
    """Names of the study's shards; asks for the plan first if there is none yet."""
    clear_unfinished()
    with checkpoints.plan.get().output.plan.open() as stream:
        return json.load(stream)["shards"]


def all_manifests(wildcards=None):
    """Manifests of every per-subject stage for every shard."""
    return expand(f"{STUDY}/manifests/{{stage}}/{{shard}}.parquet", stage=STAGES, shard=shards())


def study_targets(wildcards):
    """Every stage's manifests (a failed shard must not hide behind the last stage) and the report."""
    if EXPERIMENT["attribute"]:
        clear_unfinished()
        return f"{STUDY}/experiment/index.html"
    if not SUBJECTS:
        return [*all_manifests(), *study_outputs()]
    # Optional stages look at all of the study, not at some subjects.
    stages = [stage for stage in STAGES if stage not in OPTIONAL_STAGES]
    return expand(
        f"{STUDY}/manifests/{{stage}}/{{shard}}.parquet", stage=stages, shard=subset_shards()
    )


def study_outputs():
    """Tables, pages and what may be shared: what is missing of them is made again."""
    made = [
        rules.collect.output,
        rules.associate.output,
        rules.fairness.output,
        rules.report.output,
    ]
    if config["atlas"]["enabled"]:
        made.append(rules.atlas.output)
    if config["rca"]["enabled"]:
        made += [rules.rca_references.output, rules.rca_validity.output]
    if config["visibility"]["enabled"]:
        made.append(rules.visibility.output)
    if attribution_maps():
        made.append(rules.visibility_maps.output)
    packed = config["storage"]["archives"] or Path(STUDY, ARCHIVES).is_dir()
    if config["storage"]["keep"] != "all" or packed:
        made.append(rules.clear_storage.output)
    return [str(path) for paths in made for path in paths]


def tables(*names):
    """Tables as Parquet, and the dictionary of their columns.

    Of a rule's tables those are named that every study has; its inventory knows the others, too,
    and the TSV of those that are not too long for one.
    """
    return expand(f"{STUDY}/tables/{{name}}.{{form}}", name=names, form=("parquet", "json"))


def labelled_subjects(wildcards):
    """Images, labels and verdicts of all subjects, where reference cases come from the study."""
    if config["rca"]["references"] not in ("auto", "study"):
        return []
    stages = ("reconstruct", "qc")
    return expand(f"{STUDY}/manifests/{{stage}}/{{shard}}.parquet", stage=stages, shard=shards())


def attribution_maps():
    """Whether maps of what attributes are predicted from are asked for."""
    return config["visibility"]["enabled"] and config["visibility"]["n_maps"] > 0


def all_features(wildcards):
    """Features of every shard's subjects."""
    return expand(f"{STUDY}/visibility/features/{{shard}}.npz", shard=shards())


def subset_shards():
    """Shards of the subjects named by --config subjects=..."""
    shards()
    registry = read_registry(Path(STUDY, "plan", "registry.tsv"))
    try:
        units = resolve_units(SUBJECTS, list(registry), where="--config subjects")
    except PopscanError as error:
        raise WorkflowError(str(error))
    return sorted({registry[unit] for unit in units})


def model_files():
    """Files of the segmentation model: a bundle's folder, or a name in resources/models."""
    if not config["segment"]["model"]:
        return []
    named = Path(config["segment"]["model"])
    folder = named if named.is_dir() else Path(workflow.basedir, "resources/models", named)
    return [
        str(path) for path in sorted(folder.glob("*")) if path.suffix in {".yaml", ".safetensors"}
    ]


def plan_inputs(wildcards):
    """What a plan is made of: new entries mean a new plan. Of the raw data only what exists."""
    source = config["source"]
    table = source["participants"] or f"{source['root']}/participants.tsv"
    raw = [] if source["kind"] == "simulated" else [source["root"], table]
    return [p for p in raw if p and Path(p).exists()] + ([EXCLUDED] if EXCLUDED else [])


def template_before(wildcards):
    """Template of the round before; none for the first."""
    before = int(wildcards.iteration) - 1
    return f"{STUDY}/atlas/work/template-{before}.npz" if before >= 0 else []


def experiment_options(*keys):
    """What data and split are given: other arms, seeds and networks do not redo them."""
    given = {key: config[key] for key in ("protocol", "source", "simulate", "cohort")}
    given["study"] = {"seed": config["study"]["seed"]}
    given["experiment"] = {key: EXPERIMENT[key] for key in keys}
    if EXPERIMENT["attribute"]:
        given["experiment"]["needed"] = design.needed(EXPERIMENT)
    return GIVEN_FILES.file({"version": design.VERSION, **given})


def trial_options(wildcards):
    """What one trial is given: other arms of the experiment do not redo it."""
    section = design.trial_section(EXPERIMENT, TRIALS[wildcards.trial])
    given = {"experiment": section, "device": EXPERIMENT["device"], "version": design.VERSION}
    return GIVEN_FILES.file(given)
