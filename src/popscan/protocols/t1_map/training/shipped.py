"""How the shipped model ``t1_map`` is made: who is in it, its simulated maps, its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.protocols.cine_sax.training.simulated import simulated_case
from popscan.protocols.t1_map.segmentation import as_seen
from popscan.protocols.t1_map.training.cases import CUT_MM, WHOLE_MM, map_cases
from popscan.protocols.t1_map.training.kind import KIND
from popscan.train import train_bundle
from popscan.train.packs import Case
from popscan.train.split import stratified_split

RECIPE = "t1_map"
#: A plain U-Net of the same size, to compare with.
PEER = "t1_map_unet"
#: Of the split and of all maps.
SEED = 2041
#: Patients kept out of training, for the limits of QC.
N_TUNING = 14
#: Maps of each of a patient's two frames, and of a digital heart's: cut ones, and in fields whose
#: side is drawn.
DRAWS_CUT, DRAWS = 20, 6
FIELD_MM = (220.0, 480.0)
#: Digital hearts.
N_HEARTS = 8

NOTES = {
    "acdc": "T1 and T2 maps simulated on middle short-axis slices of training patients of cine_sax "
    "(Automated Cardiac Diagnosis Challenge, Bernard et al., IEEE TMI 2018, "
    "doi:10.1109/TMI.2018.2837502, CC BY-NC-SA 4.0; see the challenge's terms before using this "
    "model commercially), in fields of 220 to 480 mm, or what was acquired of them. Regions are "
    "its experts', moved by as much as observers differ; the relaxation times are drawn, native "
    "and after contrast agent.",
    "simulated": "Maps simulated likewise on digital hearts of popscan.",
    "acdc_cut": "Other maps of the patients of acdc, cut to 240 mm around the heart.",
    "simulated_cut": "Other maps of the hearts of simulated, cut to 240 mm around the heart.",
}
SUMMARY = (
    "Draws segmentations of left- and right-ventricular blood and of the myocardium on T1 and T2 "
    "maps of short-axis slices; how much the draws differ says how far a result can be trusted. "
    "For research, not for diagnosis."
)
LIMITS = (
    "No real map was in training, nor was one with labels there to measure on. What the model does "
    "on a real one is not known: look at every result.",
    "Simulated maps have the texture and the field of a bright-blood cine of one hospital and one "
    "manufacturer. Real maps have other fields, thicker slices and artefacts that were not "
    "simulated.",
    "Middle slices only: near the apex and the base nothing was trained or measured.",
    "In the last 3,200 of 9,600 steps three of four patches were from fields of 220 to 480 mm, all "
    "others from maps cut to 240 mm around the heart. Validated on whole fields of 280 to 400 mm, "
    "the heart up to 63 mm from their middle; a third of the results there, on good maps and bad "
    "ones, were wrong (docs/mapping.md).",
    "Simulated maps after contrast agent are harder than most real ones: in a third, blood and "
    "myocardium differ by less than 15 %.",
    "Race, sex and age of the patients are not recorded.",
)
REPRODUCE = (
    "Made again from the ACDC folder with popscan.protocols.t1_map.training.shipped.train_t1_map; "
    f"patients and maps follow from seed {SEED}. Another processor or version of the simulator "
    "gives slightly other weights. "
    "The first 1,900 steps of the shipped weights saw a quarter of the cut maps, the last 3,200 "
    "slices of 280 pixels (those before 160, where the function cuts 224); the detector of unlike "
    "maps was made of a fifth of all."
)


def split_three(cases: Sequence[Case]) -> tuple[list[Case], list[Case], list[Case]]:
    """Return patients for training, for the limits of QC, and for validation.

    Those for validation are those of cine_sax; the others are divided by disease group.
    """
    rest, validation = split_acdc(cases)
    strata = {case.unit: case.attributes["group"] for case in rest}
    train, tuning = stratified_split(strata, n_validation=N_TUNING, seed=SEED)
    by_unit = {case.unit: case for case in rest}
    return [by_unit[u] for u in train], [by_unit[u] for u in tuning], validation


def training_maps(
    train: Sequence[Case], hearts: Sequence[Case] | None = None
) -> dict[str, list[Case]]:
    """Return the packs' maps of training patients and digital hearts, as the network sees them.

    The first stages see those that are cut around the heart (``acdc_cut``, ``simulated_cut``), the
    last one mostly those in a field of any size (``acdc``, ``simulated``).
    """
    if hearts is None:
        hearts = [simulated_case(100 + index) for index in range(N_HEARTS)]
    made = {}
    for number, (name, cases) in enumerate({"acdc": train, "simulated": hearts}.items()):
        made[name] = map_cases(cases, seed=SEED + 10 + number, draws=DRAWS, field_mm=FIELD_MM)
        made[f"{name}_cut"] = map_cases(cases, seed=SEED + number, draws=DRAWS_CUT, field_mm=CUT_MM)
    return {name: [_for_network(case) for case in cases] for name, cases in made.items()}


def _for_network(case: Case) -> Case:
    """Return a map as the network sees it, with what the card lists of its subject."""
    group = {"group": case.attributes.get("group", "simulated")}
    scan = replace(case.scan, array=as_seen(case.scan.array), meta={})
    return replace(case, scan=scan, attributes=group)


def held_maps(
    cases: Sequence[Case],
    *,
    seed: int,
    draws: int = 4,
    part: tuple[int, int] = (0, 1),
    field_mm: float = WHOLE_MM,
) -> list[Case]:
    """Return maps of patients that were not trained on, with their own regions, good and bad."""
    return list(
        map_cases(cases, seed=seed, draws=draws, observers=False, part=part, field_mm=field_mm)
    )


def train_t1_map(
    acdc: Sequence[Case],
    *,
    work: Path,
    out: Path,
    recipe: str = RECIPE,
    hearts: Sequence[Case] | None = None,
) -> Path:
    """Train the model, or its peer; an hour on one core.

    Parameters
    ----------
    acdc
        The 70 patients, each with its ``group`` attribute.
    work
        Folder for checkpoints; called again after an interruption, it goes on from there.
    out
        Folder of the bundle.
    recipe
        `RECIPE` or `PEER`.
    hearts
        Simulated short-axis cines; None renders them.

    Returns
    -------
    `out`.
    """
    torch.set_num_threads(1)
    train, _, validation = split_three(acdc)
    return train_bundle(
        recipe,
        cases=training_maps(train, hearts),
        validation=held_maps(validation, seed=SEED + 2),
        work=work,
        out=out,
        name=recipe,
        notes=NOTES,
        salt=f"{recipe}-{SEED}",
        summary=SUMMARY,
        limits=LIMITS,
        reproduce=REPRODUCE,
        stratum="kind",
        kind=KIND,
        name_validation=True,
    )
