"""The study's fairness audit: outcomes of every stage, and every table that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import parse_section
from popscan.pipeline import dictionary
from popscan.pipeline.cohort import first_visits, known_columns, study_attributes
from popscan.pipeline.tables import read_table, tables_folder, write_table
from popscan.records import Status
from popscan.stages import stages_of
from popscan.store import write_atomic

#: Tables of the audit in the study's folder `tables`, each `fairness_<name>`.
TABLES = (
    "outcomes", "groups", "gaps", "summary", "adjusted", "pairs", "funnel", "exclusion",
    "agreement", "ledger", "confounding",
)  # fmt: skip
#: Columns that may go together with a group whether or not the config adjusts for them.
_SUSPECTS = ("age_years", "bmi_kg_m2", "site", "scanner", "manufacturer", "field_strength_t")
#: Columns of the table of atlas distances that the audit compares.
_ATLAS_OUTCOMES = ("unit", "atlas_distance_mm", "atlas_dice_mean")


@dataclass(frozen=True, kw_only=True)
class AuditInputs:
    """What the audit of a study is made of.

    Attributes
    ----------
    outcomes
        Long table of every stage's outcomes.
    attributes
        Everybody in the study, by unit.
    ledger
        Statuses as they count in the end: QC with a person's overrides applied.
    stages
        Stages that a subject passes on the way to the analyses, in order.
    measured, reference
        Biomarkers of who is analysed, and of the truth or the reference labels.
    steps
        Step of the pipeline -> biomarkers after it, for the bias ledger.
    qc
        Final verdicts.
    """

    outcomes: pd.DataFrame
    attributes: pd.DataFrame
    ledger: pd.DataFrame
    stages: tuple[str, ...]
    measured: pd.DataFrame
    reference: pd.DataFrame
    steps: Mapping[str, pd.DataFrame]
    qc: pd.DataFrame


def audit_study(study_root: Path, options: Mapping[str, Any]) -> None:
    """Write the tables of the fairness audit and its sentences.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    options
        Config sections study, fairness, cohort, source and atlas.
    """
    section = parse_section("fairness", options["fairness"])
    cohort = parse_section("cohort", options.get("cohort", {}))
    attributes, notes = study_attributes(study_root, fairness=section, cohort=cohort)
    inputs = audit_inputs(study_root, attributes, options)
    tables, more = audit_tables(inputs, section, seed=int(options["study"]["seed"]))
    write_audit(study_root, tables, [*notes, *more], alpha=section.alpha)


def write_audit(
    study_root: Path, tables: Mapping[str, pd.DataFrame], notes: Sequence[str], *, alpha: float
) -> None:
    """Write the tables of an audit (those that were not computed empty), and what they say.

    Parameters
    ----------
    study_root
        The study.
    tables, notes
        As `audit_tables` returns them.
    alpha
        Level at which a corrected p counts.
    """
    for name in TABLES:
        table = tables.get(name, pd.DataFrame(columns=list(dictionary.of(f"fairness_{name}"))))
        write_table(study_root, f"fairness_{name}", table, dictionary.of(f"fairness_{name}"))
    said = audit_sentences(tables, alpha=alpha)
    lines = [*(line for part in said.values() for line in part), *notes]
    text = "".join(line + "\n" for line in lines)
    write_atomic(tables_folder(study_root) / "fairness_sentences.txt", text.encode())


def audit_inputs(
    study_root: Path, attributes: pd.DataFrame, options: Mapping[str, Any]
) -> AuditInputs:
    """Bring together what the audit compares, from the study's tables."""
    from popscan.fairness.outcomes import outcomes_table

    section = parse_section("fairness", options["fairness"])
    kind = parse_section("source", options.get("source", {})).kind
    with_atlas = parse_section("atlas", options.get("atlas", {})).enabled
    biomarkers, qc = read_table(study_root, "biomarkers"), read_table(study_root, "qc")
    ledger = final_ledger(read_table(study_root, "ledger"), qc)
    kept = biomarkers["analysed"].astype(bool) if "analysed" in biomarkers else slice(None)
    measured = biomarkers[kept]
    reference = reference_biomarkers(study_root, simulated=kind == "simulated")
    distances = read_table(study_root, "atlas_distances") if with_atlas else pd.DataFrame()
    outcomes = outcomes_table(
        ledger=ledger,
        scores=read_table(study_root, "scores"),
        recon_scores=read_table(study_root, "recon_scores"),
        segmentation=read_table(study_root, "segmentation"),
        qc=qc,
        qc_checks=read_table(study_root, "qc_checks"),
        biomarkers=measured,
        biomarker_columns=[name for name in section.biomarkers if name in measured],
        truth=reference,
        atlas=distances[[name for name in _ATLAS_OUTCOMES if name in distances]],
        analysed=pd.Series(True, index=measured["unit"]) if "unit" in measured else None,
    )
    if parse_section("rca", options.get("rca", {})).enabled:
        outcomes = pd.concat([outcomes, _predicted(study_root)], ignore_index=True)
    return AuditInputs(
        outcomes=outcomes,
        attributes=attributes,
        ledger=ledger,
        stages=tuple(stage for stage in stages_of(kind) if stage != "score"),
        measured=measured,
        reference=reference,
        steps=ledger_steps(study_root, reference, simulated=kind == "simulated"),
        qc=qc,
    )


def _predicted(study_root: Path) -> pd.DataFrame:
    """Predicted Dice as an outcome of the stage rca."""
    predicted = read_table(study_root, "predicted_dice")
    if "predicted_dice" not in predicted:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "unit": predicted["unit"],
            "stage": "rca",
            "outcome": "predicted_dice",
            "value": predicted["predicted_dice"].astype(float),
            "better_is": "higher",
            "kind": "continuous",
        }
    )


def final_ledger(ledger: pd.DataFrame, qc: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger with QC's status as it counts: a person's override over the checks."""
    if "verdict" not in qc or ledger.empty:
        return ledger
    verdict = ledger["unit"].map(qc.set_index("unit")["verdict"])
    at_qc = (ledger["stage"] == "qc") & verdict.notna()
    final = verdict.map(lambda v: str(Status.EXCLUDED if v == "fail" else Status.OK))
    return ledger.assign(status=ledger["status"].mask(at_qc, final))


def reference_biomarkers(study_root: Path, *, simulated: bool) -> pd.DataFrame:
    """Return true biomarkers: of the simulator, or of reference labels of unseen subjects."""
    if simulated:
        return read_table(study_root, "truth")
    return _of_source(study_root, "reference_labels")


def _of_source(study_root: Path, source: str) -> pd.DataFrame:
    """Biomarkers of references by what they were measured on; without subjects seen in training."""
    table = read_table(study_root, "reference_biomarkers")
    if "source" not in table:
        return pd.DataFrame()
    seen = table["seen_in_training"].fillna(False).astype(bool)
    chosen = table[(table["source"] == source) & ~seen]
    return chosen.drop(columns=["source", "seen_in_training"]).reset_index(drop=True)


def ledger_steps(
    study_root: Path, reference: pd.DataFrame, *, simulated: bool
) -> dict[str, pd.DataFrame]:
    """Return biomarkers after each step of the pipeline, of whoever has a reference.

    Parameters
    ----------
    study_root
        The study.
    reference
        Truth (simulated studies) or biomarkers of reference labels.
    simulated
        Whether the truth comes before the reference labels, which are an image grid's view of it.

    Returns
    -------
    dict
        In order: ``truth``, ``measurement on true labels`` or ``reference labels``; then
        ``segmentation`` (of reference images where there are any), ``reconstruction``,
        ``QC exclusion``. Empty without a reference.
    """
    biomarkers = read_table(study_root, "biomarkers")
    if reference.empty or biomarkers.empty:
        return {}
    of_images = _of_source(study_root, "reference_image")
    steps: dict[str, pd.DataFrame] = {}
    if simulated:
        steps["truth"] = reference
        on_labels = _of_source(study_root, "reference_labels")
        if len(on_labels):
            steps["measurement on true labels"] = on_labels
    else:
        steps["reference labels"] = reference
    labelled = biomarkers[biomarkers["unit"].isin(reference["unit"])]
    if len(of_images):
        steps["segmentation of reference images"] = of_images
        steps["reconstruction"] = labelled
    else:
        steps["segmentation"] = labelled
    steps["QC exclusion"] = labelled[labelled["analysed"].astype(bool)]
    return steps


def audit_tables(
    inputs: AuditInputs, section: Any, *, seed: int
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Compute every table of the audit.

    Parameters
    ----------
    inputs
        What is compared.
    section
        Config section fairness.
    seed
        Of everything that is drawn.

    Returns
    -------
    tables : dict
        Name (one of `TABLES`) -> table; what cannot be computed is absent.
    notes : list of str
        Sentences on who is missing, what was left out, and why.
    """
    from popscan.fairness.adjusted import adjusted_gaps
    from popscan.fairness.agreement import bland_altman
    from popscan.fairness.audit import audit
    from popscan.fairness.confounding import confounding
    from popscan.fairness.funnel import funnel
    from popscan.fairness.ledger import bias_ledger
    from popscan.fairness.pairs import all_pairs

    people = inputs.attributes
    asked, absent = known_columns(section.attributes, people)
    notes = [f"{name} is not recorded in this study; it was not audited." for name in absent]
    confounders, lacking = known_columns(section.adjust_for, people)
    notes += [f"{name} is not recorded: gaps are not adjusted for it." for name in lacking]
    crossed = [names for names in section.intersections if set(names) <= set(people)]
    common: dict[str, Any] = {
        "attributes_to_test": asked,
        "reference": section.reference or None,
        "min_group": section.min_group,
        "alpha": section.alpha,
    }
    corrected = {**common, "correction": section.correction}
    once, told = first_visits(people)
    notes += told
    cluster = "sub" if told else None
    result = audit(
        inputs.outcomes,
        people,
        intersections=crossed,
        n_boot=section.n_boot,
        family=section.family,
        cluster=cluster,
        seed=seed,
        **corrected,
    )
    tables = {
        "outcomes": inputs.outcomes,
        "groups": result.groups,
        "gaps": result.gaps,
        "summary": result.summary,
        "confounding": confounding(
            people,
            attributes_to_test=asked,
            confounders=list(dict.fromkeys([*confounders, *_SUSPECTS])),
            min_group=section.min_group,
            correction=section.correction,
        ),
        "pairs": all_pairs(
            inputs.outcomes,
            once,
            attributes_to_test=asked,
            min_group=section.min_group,
            correction=section.correction,
        ),
        "exclusion": _exclusion(inputs, once, section, common),
    }
    if inputs.stages:
        tables["funnel"] = funnel(
            inputs.ledger, people, stages=inputs.stages, intersections=crossed, **corrected
        )
    if confounders:
        tables["adjusted"] = adjusted_gaps(
            inputs.outcomes,
            people,
            adjust_for=confounders,
            methods=section.adjust_methods,
            block=section.adjust_block or None,
            cluster=cluster,
            **corrected,
        )
    if len(inputs.reference):
        tables["agreement"] = bland_altman(
            inputs.measured, inputs.reference, once, biomarkers=section.biomarkers, **corrected
        )
    if section.ledger and len(inputs.steps) > 1:
        first = next(iter(inputs.steps.values()))
        tables["ledger"] = bias_ledger(
            inputs.steps,
            once,
            biomarkers=[name for name in section.biomarkers if name in first],
            adjust_for=confounders,
            n_boot=max(section.n_boot, 1000),
            seed=seed,
            **corrected,
        )
    return tables, [*result.notes, *notes]


def _exclusion(
    inputs: AuditInputs, people: pd.DataFrame, section: Any, common: Mapping[str, Any]
) -> pd.DataFrame:
    """Whether QC excludes one group more at equal true quality; empty without references."""
    from popscan.fairness.adjusted import DICTIONARY
    from popscan.fairness.funnel import exclusion_at_equal_quality

    rows = inputs.outcomes[inputs.outcomes["outcome"] == section.quality]
    if rows.empty or "verdict" not in inputs.qc:
        return pd.DataFrame(columns=list(DICTIONARY))
    quality = rows.set_index("unit")["value"]
    excluded = inputs.qc.set_index("unit")["verdict"] == "fail"
    return exclusion_at_equal_quality(excluded, quality, people, **common)


def audit_sentences(
    tables: Mapping[str, pd.DataFrame], *, alpha: float = 0.05
) -> dict[str, list[str]]:
    """Say what the tables show, part by part; parts without a table have no sentence.

    Parameters
    ----------
    tables
        As `audit_tables` makes them, also with small cells suppressed.
    alpha
        Level at which a corrected p counts.
    """
    from popscan.fairness import story
    from popscan.fairness.confounding import confounding_sentences
    from popscan.fairness.words import sentences

    parts: dict[str, Callable[..., list[str]]] = {
        "gaps": sentences,
        "confounding": confounding_sentences,
        "adjusted": story.adjusted_sentences,
        "funnel": story.funnel_sentences,
        "exclusion": story.exclusion_sentences,
        "agreement": story.agreement_sentences,
        "ledger": story.ledger_sentences,
    }
    return {
        name: say(tables[name], alpha=alpha)
        for name, say in parts.items()
        if name in tables and len(tables[name])
    }
