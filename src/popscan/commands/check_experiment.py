"""What would spoil an experiment, reported before its first training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popscan.config import Config
from popscan.experiment import design
from popscan.protocols import protocol_of
from popscan.records import PopscanError
from popscan.stages.experiment.data import subjects

if TYPE_CHECKING:
    from popscan.train.recipe import Recipe


def check_experiment(config: Config, problems: list[str], notes: list[str]) -> None:
    """Check the experiment of a config: its grid, every arm's recipe, and its subjects."""
    options = config.model_dump()
    section = options["experiment"]
    found = design.problems(section)
    problems += found
    if found:
        return
    grid = design.trials(section)
    seen: set[tuple[str, str]] = set()
    for trial in grid:
        if (trial.architecture, trial.mitigation) not in seen:
            seen.add((trial.architecture, trial.mitigation))
            problems += _check_recipe(options, trial)
    if not design.baseline(section["mitigations"]):
        notes.append("there is no control arm, so the effect of the others cannot be estimated")
    notes.append(f"experiment: {len(grid)} trainings of {section['n_train']} subjects each")
    if config.source.kind == "simulated":
        planned = subjects(options)
        notes.append(f"experiment: {len(planned)} simulated subjects")
        if not config.simulate.bias:
            notes.append(
                "simulate.bias is empty: the groups differ in their bodies alone, if at all"
            )
        return
    listed = ", ".join(f"{n} of {group}" for group, n in design.needed(section).items())
    notes.append(f"experiment: {listed} with labels are needed")


def _check_recipe(options: dict, trial: design.Trial) -> list[str]:
    """Build an arm's network, and compare its stride with the sizes of images."""
    from popscan.experiment.trial import trial_recipe
    from popscan.segment.headed import build_headed
    from popscan.segment.networks import build_network, stride

    section, protocol = options["experiment"], protocol_of(options)
    where = f"experiment.mitigations.{trial.mitigation} ({trial.architecture})"
    try:
        recipe = trial_recipe(design.trial_section(section, trial), trial)
        build = build_headed if recipe.target else build_network
        n_outputs = 2 if recipe.target else 1 if recipe.task == "reconstruct" else recipe.n_labels
        build(recipe.architecture, n_outputs, **recipe.architecture_arguments)
    except PopscanError as error:
        return [f"{where}: {error}"]
    problems = _check_task(section, recipe, where)
    if recipe.codes != dict(protocol.network_codes):
        names = ", ".join(protocol.network_codes)
        problems.append(f"experiment.recipe.labels: protocol {protocol.name} has {names}")
    if recipe.planes and protocol.series[0].dimensions != 3:
        problems.append(f"experiment.recipe.planes: protocol {protocol.name} has no volumes")
    multiple = stride(recipe.architecture_arguments)
    sizes = {"experiment.field_px": section["field_px"], f"{where}: patch": recipe.patch}
    sizes[f"{where}: crop_px"] = section["mitigations"][trial.mitigation]["crop_px"]
    return problems + [
        f"{key}: {size}; a multiple of {multiple} is expected by this network"
        for key, size in sizes.items()
        if size % multiple
    ]


def _check_task(section: dict, recipe: Recipe, where: str) -> list[str]:
    """Return what does not go with what the recipe learns."""
    problems = []
    if recipe.task == "regress":
        problems.append("experiment.recipe.task: regress; experiments segment, classify, "
                        "reconstruct")  # fmt: skip
    if (recipe.task == "reconstruct") != bool(section["n_held_out"]):
        problems.append(f"experiment.n_held_out: {section['n_held_out']}; task reconstruct needs "
                        "at least 1, others none")  # fmt: skip
    if recipe.task != "segment":
        problems += [
            f"{where}: {key} does not go with task {recipe.task}"
            for key in ("crop_px", "group_steps")
            if section["mitigations"].get(where.split(" ")[0].split(".")[-1], {}).get(key)
        ]
        if len(recipe.planes) > 1:
            problems.append(f"experiment.recipe.planes: one expected with task {recipe.task}")
    if section["occlusion"] and recipe.task != "classify":
        problems.append("experiment.occlusion: it goes with task classify alone")
    return problems
