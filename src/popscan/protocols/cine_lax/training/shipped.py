"""How the shipped model ``cine_lax`` is made: its split, its images, its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from popscan.protocols.cine_lax.training.kind import KIND
from popscan.protocols.cine_lax.training.simulated import (
    N_DIGITAL,
    N_PAINTED,
    SEED,
    digital_case,
    painted_case,
    patient_cases,
)
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.train import recipe_chain, train_weights
from popscan.train.export import export_bundle
from popscan.train.packs import Case, build_pack

#: The final recipe.
RECIPE = "cine_lax_1"
#: Side of the packs, pixels of the recipe's spacing.
_SIDE = 176
#: Further digital and painted hearts for validation, behind those of training.
N_HELD_OUT = 14

NOTES = {
    "painted": "Ventricles of digital hearts cut in random planes, with atria, veins, vessels, "
    "liver and chest wall painted around them in drawn greys "
    "(popscan.protocols.cine_lax.training.painter).",
    "digital": "Digital hearts of popscan as its simulator images them (three scanner types).",
    "patients": "Planes cut through the labelled short-axis stacks of the patients that cine_sax "
    "was trained on (ACDC, Bernard et al., IEEE TMI 2018, doi:10.1109/TMI.2018.2837502; CC "
    "BY-NC-SA 4.0, see the challenge's terms before using this model commercially): the experts' "
    "outlines, interpolated between slices 5 to 10 mm apart, with the stack's own intensities or "
    "drawn ones. Atria, valves, apex and what lies above the stack are painted.",
}
SUMMARY = (
    "Segments the left ventricle, its myocardium, the left atrium and, in the four-chamber view, "
    "the right heart on every frame of long-axis cine MR. For research, not for diagnosis."
)
LIMITS = (
    "Atria were painted from ranges of sizes and shapes, not learned of patients: where an atrium "
    "ends against its veins, its appendage and the valve is a convention of the painter.",
    "ACDC records neither sex nor race nor age: what the model is worth for which of them is not "
    "known. A study should look at its own fairness page.",
    "Other planes than two- and four-chamber views, late enhancement, black blood, congenital "
    "disease and metal were not in training.",
    "Training planes were cut out of stacks, so that a subject is recognised by name alone.",
)
REPRODUCE = (
    "Made again from the ACDC folder with "
    "popscan.protocols.cine_lax.training.shipped.train_cine_lax; the split of patients is that of "
    f"cine_sax (seed {SEED}). Another processor, number of threads or version of the simulator "
    "gives slightly other weights."
)


def training_cases(patients: Sequence[Case]) -> dict[str, list[Case]]:
    """Return the cases of each pack; `patients` are those of the training part of the split."""
    return {
        "painted": [painted_case(index) for index in range(N_PAINTED)],
        "digital": [digital_case(index) for index in range(N_DIGITAL)],
        "patients": [case for one in patients for case in patient_cases(one)],
    }


def validation_cases(patients: Sequence[Case]) -> list[Case]:
    """Return held-out cases of all three sources; of each patient the first."""
    cut = [case for one in patients for case in patient_cases(one, variants=1)]
    return [
        *(painted_case(N_PAINTED + index) for index in range(N_HELD_OUT)),
        *(digital_case(N_DIGITAL + index) for index in range(N_HELD_OUT)),
        *cut,
    ]


def train_cine_lax(
    acdc: Sequence[Case],
    *,
    work: Path,
    out: Path,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Train the shipped model again; about an hour of one core.

    Parameters
    ----------
    acdc
        The 70 patients, each with its ``group`` attribute, two labelled frames.
    work
        Folder for checkpoints; called again after an interruption, it goes on from there.
    out
        Folder of the bundle.
    weights
        Of a training that is finished; None trains.

    Returns
    -------
    `out`.
    """
    train, validation = split_acdc(acdc)
    cases = training_cases(train)
    chain = recipe_chain(RECIPE)
    packs = {
        name: build_pack(
            group, spacing_mm=chain[-1].spacing_mm, size=_SIDE, n_labels=chain[-1].n_labels
        )
        for name, group in cases.items()
    }
    if weights is None:
        weights = train_weights(RECIPE, packs, work)
    return export_bundle(
        out,
        name="cine_lax",
        chains=[chain],
        weights=[weights],
        packs=packs,
        cases=[case for group in cases.values() for case in group],
        validation=validation_cases(validation),
        notes=NOTES,
        salt=f"cine_lax-{SEED}",
        stratum="source",
        summary=SUMMARY,
        limits=LIMITS,
        reproduce=REPRODUCE,
        name_validation=True,
        kind=KIND,
    )
