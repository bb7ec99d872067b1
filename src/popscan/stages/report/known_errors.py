"""Section of the report on what is known of the model: how it erred on its validation subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from popscan.config import Segment
from popscan.labelset import LabelSet
from popscan.modelfolder import MODEL
from popscan.nested import mapping_at
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.stages.segment.bundles import bundle_path, model_of
from popscan.yamlfile import read_yaml

#: Mean deviation of a structure's volume, in percent, that the report's beginning warns of.
LARGE_PCT = 10.0
#: Structures that a sentence names; the table has all.
_NAMED = 8
#: What the section shows of a structure, where the bundle says it.
_COLUMNS = (
    "structure", "view", "phase", "dice_mean", "dice_lowest", "hd95_mm", "volume_ml", "bias_pct",
)  # fmt: skip


def validation_of(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the section ``validation`` of the bundle that the study's method takes, or nothing.

    Parameters
    ----------
    config
        The whole config.

    Returns
    -------
    Mapping
        ``simulated_only`` is None where the protocol needs a proof and the bundle states nothing.
    """
    section, offered = Segment.of(config, or_defaults=True), protocol_of(config).segmentation
    named = model_of(protocol_of(config), section)
    if not named:
        return {}
    about = read_yaml(bundle_path(named) / MODEL)
    found = mapping_at(about, "validation") if isinstance(about, Mapping) else {}
    return {"simulated_only": None, **found} if offered.proof_needed else found


def errors_of(validation: Mapping[str, object]) -> pd.DataFrame:
    """Return how the model erred on its validation subjects, one row per structure (and phase).

    Parameters
    ----------
    validation
        As `validation_of` returns it.

    Returns
    -------
    DataFrame
        Those that the bundle has of ``structure, view, phase, dice_mean, dice_lowest, hd95_mm,
        volume_ml, bias_pct``; ``bias_pct`` is the mean deviation of the volume, in percent of the
        reference's. Empty where the bundle says nothing by structure.
    """
    rows = validation.get("by_structure")
    known = [r for r in rows if isinstance(r, Mapping)] if isinstance(rows, Sequence) else []
    table = pd.DataFrame([{c: row[c] for c in _COLUMNS if c in row} for row in known])
    return table if "structure" in table else pd.DataFrame()


def model_errors(config: Mapping[str, object]) -> pd.DataFrame:
    """Return `errors_of` of the study's bundle.

    Parameters
    ----------
    config
        The whole config.
    """
    return errors_of(validation_of(config))


def model_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show how the model erred on its validation subjects; None where the bundle does not say.

    Parameters
    ----------
    study_root
        ``results/<study>``; nothing is read there.
    config
        The whole config.
    """
    validation = validation_of(config)
    table = errors_of(validation)
    n = validation.get("n_subjects")
    who = f"the {n} subjects" if isinstance(n, int) else "the subjects"
    caution = _made_sentence(validation, who)
    if table.empty and not caution:
        return None
    labels = protocol_of(config).labels
    warnings = [*caution, *bias_sentences(table, labels, who=who)]
    sentences = [*_dice_sentence(validation, who), *warnings]
    if not table.empty:
        table["structure"] = table["structure"].map(lambda s: labels.titles.get(s, s))
    return Extra(
        ident="model-errors",
        title="How the model erred where the answer was known",
        lead=f"Agreement with the reference labels of {who} that the model was validated on, as "
        "its bundle reports it. Nothing here was measured on this study.",
        sentences=sentences,
        shared_sentences=sentences,
        headline=warnings,
        shared_headline=warnings,
        tables=[]
        if table.empty
        else [("Agreement and deviation of the volume, by structure.", table)],
        notes=[
            "Nothing of this is corrected in the study. Differences between subjects stand if the "
            "model errs on them by the same share; absolute volumes, and left against right, carry "
            "its errors."
        ]
        if "bias_pct" in table
        else [],
        shared=True,
    )


def _dice_sentence(validation: Mapping[str, object], who: str) -> list[str]:
    mean = validation.get("mean_dice")
    return [f"Mean Dice on {who}: {mean:.2f}."] if isinstance(mean, float) else []


def _made_sentence(validation: Mapping[str, object], who: str) -> list[str]:
    """Return what is to be known of a bundle that no labelled scan was there for."""
    stated = validation.get("simulated_only", False)
    if stated is False:
        return []
    if stated is not True:
        return [
            "The model's file does not state that it was validated on labels of acquired images. "
            "How well it segments them is not known: look at every result before you use it."
        ]
    return [
        f"The images of {who} that the model was validated on were simulated or composed, and so "
        "were those that it was trained on. How well it segments acquired images has not been "
        "measured: look at every result before you use it."
    ]


def bias_sentences(table: pd.DataFrame, labels: LabelSet, *, who: str) -> list[str]:
    """Return which structures' volumes were off by `LARGE_PCT` or more; empty where none was.

    Parameters
    ----------
    table
        As `errors_of` returns it.
    labels
        Of the protocol: words for structures.
    who
        The validation subjects, in words.
    """
    if "bias_pct" not in table:
        return []
    table = table.assign(off=pd.to_numeric(table["bias_pct"], errors="coerce"))
    large = table[table["off"].abs() >= LARGE_PCT]
    if large.empty:
        return []
    large = large.sort_values("off", key=lambda s: -s.abs(), kind="stable")
    named = [
        f"{labels.words.get(name, name)} {value:+.0f}%"
        for name, value in zip(large["structure"], large["off"], strict=True)
    ]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return [
        f"The model's volumes of {len(large)} of {len(table)} structures were {LARGE_PCT:.0f}% or "
        f"more off on average on {who} it was validated on ({', '.join(named[:_NAMED])}{more}), "
        "and the study's are not corrected for it: do not read them as absolute volumes."
    ]
