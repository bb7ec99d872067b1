"""Sections of the report on predicted Dice, and on what attributes are predicted from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import Fairness, Visibility
from popscan.config.analyses import ORGAN
from popscan.nested import mapping_at
from popscan.protocol import Protocol
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.stages.atlas.stored import load_arrays
from popscan.study.study import Study
from popscan.study.tables import read_table

_VALIDITY = (
    "attribute", "group", "n", "n_low", "true_mean", "predicted_mean", "bias", "mae", "r", "r_low",
    "r_high", "auc",
)  # fmt: skip
_GAPS = (
    "attribute", "group", "reference", "n", "true_gap", "predicted_gap", "gap_error",
    "gap_error_low", "gap_error_high", "p_gap_error_adj",
)  # fmt: skip
_SEEN = (
    "attribute", "group", "source", "n", "n_group", "auc", "auc_low", "auc_high", "p_adj",
    "n_adjusted", "auc_adjusted", "auc_confounders",
)  # fmt: skip
_ATTRIBUTIONS = (
    "attribute", "group", "n", "r", "partial_r", "partial_r_low", "partial_r_high", "baseline",
)  # fmt: skip
_MOST_MAPS = 12


def rca_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show predicted Dice, and how far it can be relied on."""
    from popscan.fairness.rca import sentences, true_and_predicted
    from popscan.report.figures.seen import predicted_scatter

    predicted = read_table(study_root, "predicted_dice")
    if not mapping_at(config, "rca").get("enabled") or "predicted_dice" not in predicted:
        return None
    fairness = Fairness.of(config)
    people = Study.of_tables(study_root, config).attributes
    validity = read_table(study_root, "rca_validity")
    organ = protocol_of(config).words.organ
    pairs = true_and_predicted(
        read_table(study_root, "predicted_dice_structures"), read_table(study_root, "scores")
    )
    pairs = pairs[pairs["structure"] == "mean"].set_index("unit")
    attribute = next((name for name in fairness.attributes if name in people), None)
    figures = []
    if len(pairs) and attribute:
        caption = f"Predicted against true Dice, mean over structures, by {attribute}."
        figures.append((predicted_scatter(pairs, groups=people[attribute], name="rca"), caption))
    tables = [("Predicted Dice of the study.", _summary(predicted["predicted_dice"]))]
    shown = validity[validity["structure"] == "mean"] if len(validity) else validity
    if len(shown):
        tables.append(
            ("Predicted against true Dice, mean over structures.", shown[list(_VALIDITY)])
        )
    gaps = shown[shown["reference"] != ""] if len(shown) else shown
    if len(gaps):
        tables.append(("Gaps to the reference group, true and predicted.", gaps[list(_GAPS)]))
    lines = sentences(validity, alpha=fairness.alpha) if len(validity) else []
    return Extra(
        ident="predicted-dice",
        title="Predicted Dice",
        lead="How good each segmentation is likely to be, without a reference: how well it carries "
        "over to reference cases (reverse classification accuracy, Valindria et al. 2017).",
        sentences=lines or ["No subject has a reference: how reliable this is is unknown."],
        figures=figures,
        tables=tables,
        notes=[
            f"A predicted Dice is low also where a {organ} is unlike all reference cases. Gaps in "
            "it between groups are in the fairness audit (outcome predicted_dice); whether they "
            "are gaps in segmentation or in likeness is what the comparison with true Dice says."
        ],
    )


def _summary(values: pd.Series) -> pd.DataFrame:
    quantiles = values.astype(float).quantile([0.05, 0.25, 0.5, 0.75, 0.95])
    names = ["5%", "25%", "median", "75%", "95%"]
    columns = dict(zip(names, quantiles, strict=True))
    return pd.DataFrame([{"n": int(values.notna().sum()), "mean": values.mean(), **columns}])


def visibility_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Say what attributes are predicted from, and where."""
    from popscan.report.figures.seen import auc_forest, organ_maps
    from popscan.visibility.tables import sentences

    table = read_table(study_root, "visibility")
    if not mapping_at(config, "visibility").get("enabled") or "auc" not in table:
        return None
    section = Visibility.of(config)
    figures, lines = [], []
    if len(table):
        caption = (
            "Cross-validated area under the ROC curve with its interval; the tick is the area with "
            f"{', '.join(section.adjust_for)} taken out of the features; 0.5 is chance."
        )
        figures.append((auc_forest(table, sources=section.sources, name="seen"), caption))
        lines = sentences(table, alpha=Fairness.of(config).alpha)
    tables = [("How well attributes are predicted.", table[list(_SEEN)])]
    from popscan.visibility.attribution import columns_in

    protocol = protocol_of(config)
    maps = _maps(study_root, protocol)
    if maps:
        caption = (
            f"In the frame of {around_of(protocol)}, at its middle. Blue to red: how the labelled "
            "structures and the intensities are associated with the group (correlation with the "
            "classifier's score). Dark to bright: where the segmentation looks, and what the "
            "attribute is predicted from in its latent features (gradient times input, mean over "
            "subjects)."
        )
        figures.append((organ_maps(maps, around=around_of(protocol), name="maps"), caption))
    attributions = read_table(study_root, "visibility_attributions")
    if len(attributions):
        tables.append(
            (
                "Do segmentation and attribute look at the same regions (OSCAR)?",
                attributions[[*_ATTRIBUTIONS, *columns_in(protocol.words.organ)]],
            )
        )
    return Extra(
        ident="seen-attributes",
        title="Can the attribute be seen?",
        lead="How well attributes are predicted from what the pipeline sees: logistic regression "
        "of principal components, cross-validated by subject.",
        sentences=lines or ["No attribute has two groups that are large enough."],
        figures=figures,
        tables=tables,
        notes=[
            "That an attribute can be seen is no harm by itself, and that it cannot is no proof of "
            "fairness. It says where a model could pick it up. Race is a social category: what is "
            "predicted from an image are its traces in bodies, scanners and protocols."
        ],
    )


def around_of(protocol: Protocol) -> str:
    """Return what the maps lie around, within a sentence."""
    return protocol.crops.around if protocol.crops else "the organ"


def _maps(study_root: Path, protocol: Protocol) -> dict[str, Any]:
    """Title -> map, the segmentation's first."""
    names = list(protocol.labels.codes)
    shown = protocol.crops.shown if protocol.crops and protocol.crops.shown else names[0]
    words = protocol.labels.titles[shown].lower()
    path = study_root / "visibility" / "maps.npz"
    if not path.exists():
        return {}
    found = {}
    for key, values in load_arrays(path).items():
        source, _, what = key.partition("|")
        label = what.replace("|", " ")
        if key == "task":
            found["segmentation looks at"] = values
        elif source == "latent":
            found[f"{label}: latent features"] = values
        elif source in ORGAN:
            found[f"{label}: intensity"] = values[0]
        elif source == "labels":
            found[f"{label}: {words}"] = values[names.index(shown)]
    return dict(list(found.items())[:_MOST_MAPS])
