"""The report's section on reconstructions by a trained network: which, and what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.config import Reconstruct
from popscan.recon import LEARNED
from popscan.records import PopscanError
from popscan.report.context import Extra
from popscan.report.text import plural
from popscan.study.study import Study

#: What a score of a network on simulated k-space hides.
CAUTION = (
    "Networks trained on simulated k-space look better on simulated k-space than on a scanner's: "
    "images from archives were interpolated, filtered, combined from several coils and stripped of "
    "their phase (Shimron et al., PNAS 2022, doi:10.1073/pnas.2117203119). A network can draw what "
    "was not there and smooth away what was, without noise or aliasing that would give it away. "
    "Reconstruct with a variant without a network, too, and compare the biomarkers."
)


def learned_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Say which variants are by a network and whose k-space it was not trained for; else None."""
    section = Reconstruct.of(config, or_defaults=True)
    learned = {
        name: variant for name, variant in section.variants.items() if variant.method in LEARNED
    }
    if not learned:
        return None
    table = Study.of_tables(study_root, config).table("reconstructions")
    if table.empty:
        return None
    sentences = [
        made_by(name, variant.method, str(variant.options["model"]))
        for name, variant in learned.items()
    ]
    used = f"All later stages use the images of variant {section.use}."
    unlike, counts = _unlike(table)
    return Extra(
        ident="learned_reconstruction",
        title="Reconstruction by a network",
        lead="Some images were drawn by a trained network from what was acquired.",
        sentences=[*sentences, used, *unlike],
        tables=[("Scans unlike those that the network was trained on.", counts)] if unlike else [],
        notes=[CAUTION],
        headline=unlike[:1],
    )


def made_by(name: str, method: str, model: str) -> str:
    """Return the sentence on a variant: its model, and what that was trained on."""
    from popscan.recon.learned import facts_of

    try:
        facts = facts_of(model, method)
    except PopscanError:  # it was there when the images were made
        return f"Variant {name}: method {method}, model {Path(model).name}."
    if facts.trained is None:
        return f"Variant {name}: method {method}, model {facts.name}, of unknown training data."
    return (
        f"Variant {name}: method {method}, model {facts.name}, trained on {facts.trained.source}."
    )


def _unlike(table: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """Return a sentence and counts by difference; none where no scan differs."""
    if "unlike_training" not in table:
        return [], pd.DataFrame()
    known = table["unlike_training"].dropna().astype(str)
    differ = known[known.str.len() > 0]
    if differ.empty:
        return [], pd.DataFrame()
    counts = differ.value_counts()
    rows = pd.DataFrame({"Difference": counts.index, "n": counts.to_numpy()})
    n, total = len(differ), len(known)
    return [
        f"k-space of {n} of {plural(total, 'scan')} differs from what the network was trained on: "
        "do not trust these images before somebody looked at them."
    ], rows
