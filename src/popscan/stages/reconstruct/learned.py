"""The report's section on reconstructions by a trained network: which, and what it cannot show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
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
    # What later stages use comes first.
    unlike, counts = _unlike(table, sorted(learned, key=lambda name: name != section.use))
    return Extra(
        ident="learned_reconstruction",
        title="Reconstruction by a network",
        lead="Some images were drawn by a trained network from what was acquired.",
        sentences=[*sentences, used, *unlike],
        tables=[("Scans unlike those that a network was trained on, by variant.", counts)]
        if unlike
        else [],
        notes=[CAUTION],
        headline=unlike,
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


def _unlike(table: pd.DataFrame, variants: Iterable[str]) -> tuple[list[str], pd.DataFrame]:
    """Return a sentence per variant, and counts by difference; none where no scan differs."""
    column = table.get("unlike_training_by_variant")
    if column is None:
        return [], pd.DataFrame()
    found = [json.loads(text) for text in column.dropna().astype(str) if text]
    sentences, rows = [], []
    for name in variants:
        known = ["; ".join(one[name]) for one in found if name in one]
        differ = Counter(text for text in known if text)
        if not differ:
            continue
        n, total = differ.total(), len(known)
        sentences.append(
            f"Variant {name}: k-space of {n} of {plural(total, 'scan')} differs from what its "
            "network was trained on: do not trust these images before somebody looked at them."
        )
        rows += [{"Variant": name, "Difference": k, "n": v} for k, v in differ.most_common()]
    return sentences, pd.DataFrame(rows)
