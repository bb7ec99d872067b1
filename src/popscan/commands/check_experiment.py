"""What would spoil an experiment, told before its first training."""

from __future__ import annotations

from popscan.config import Config
from popscan.experiment import design
from popscan.records import PopscanError
from popscan.stages.experiment.data import subjects


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
            problems += _check_recipe(section, trial)
    if not design.baseline(section["mitigations"]):
        notes.append("no arm of the experiment does nothing: what the others change is not told")
    notes.append(f"experiment: {len(grid)} trainings of {section['n_train']} subjects each")
    if config.source.kind == "simulated":
        planned = subjects(options)
        notes.append(f"experiment: {len(planned)} simulated subjects")
        if not config.simulate.bias:
            notes.append(
                "simulate.bias is empty: the groups differ in their bodies alone, if at all"
            )
        return
    told = ", ".join(f"{n} of {group}" for group, n in design.needed(section).items())
    notes.append(f"experiment: {told} with labels are needed")


def _check_recipe(section: dict, trial: design.Trial) -> list[str]:
    """Build an arm's network, and compare its stride with the sizes of images."""
    from popscan.experiment.trial import trial_recipe
    from popscan.protocols.cine_sax.labels import Label
    from popscan.segment.networks import build_network, stride

    where = f"experiment.mitigations.{trial.mitigation} ({trial.architecture})"
    try:
        recipe = trial_recipe(design.trial_section(section, trial), trial)
        build_network(recipe.architecture, len(Label), **recipe.architecture_arguments)
    except PopscanError as error:
        return [f"{where}: {error}"]
    multiple = stride(recipe.architecture_arguments)
    sizes = {"experiment.field_px": section["field_px"], f"{where}: patch": recipe.patch}
    sizes[f"{where}: crop_px"] = section["mitigations"][trial.mitigation]["crop_px"]
    return [
        f"{key}: {size}; a multiple of {multiple} is expected by this network"
        for key, size in sizes.items()
        if size % multiple
    ]
