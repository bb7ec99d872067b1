"""Bring a study's tables and pictures together for the report, and say what it was made with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import yaml

from popscan.config import Atlas, Fairness, Report, Segment, Share, source_kind
from popscan.config import Study as StudySection
from popscan.disk import write_atomic
from popscan.names import plural, subject_of
from popscan.protocol import Protocol, Words
from popscan.protocols import protocol_of
from popscan.report.context import StudyContext
from popscan.stages import optional_stages, stages_of
from popscan.stages.atlas.results import atlas_pictures
from popscan.stages.fairness.report import (
    agreement_points,
    with_whole_audit,
)
from popscan.stages.report.bids_files import write_bids_files
from popscan.stages.report.extras import extra_sections
from popscan.stages.report.flagged import flagged_subjects, units_to_look_at
from popscan.stages.report.gallery import recon_gallery, retrospective_note
from popscan.stages.report.known_errors import model_errors
from popscan.stages.report.methods import methods_sentences
from popscan.stages.report.provenance import Provenance, provenance
from popscan.stages.report.sharing import write_share
from popscan.stages.segment.bundles import bundle_path, model_of
from popscan.stages.variants.columns import variant_scores
from popscan.store import Store
from popscan.study.costs import cost_rates, study_costs
from popscan.study.study import Study
from popscan.study.tables import read_table, tables_folder

#: Columns of the table of checks that hold the same few words in very many rows.
_WORDS_OF_CHECKS = ("unit", "check", "kind", "threshold", "unit_of_value", "verdict")


def report_study(study_root: Path, config: Mapping[str, object]) -> Path:
    """Write the report, what may be shared, ``provenance.json``, and the files that BIDS asks for.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been written.
    config
        The whole config.

    Returns
    -------
    Path
        ``report/index.html``.
    """
    from popscan.report import render_study

    facts = provenance(study_root, config)
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    write_atomic(study_root / "provenance.json", text.encode())
    context = study_context(study_root, config, facts)
    context = replace(context, methods=methods_sentences(context, config, facts))
    write_bids_files(study_root, facts, name=context.name, stages=context.stages)
    limit = Report.of(config).max_flagged_pages
    index = render_study(context, study_root / "report", max_subject_pages=limit)
    fairness = Fairness.of(config)
    write_share(
        study_root,
        context,
        Study.of_tables(study_root, config).attributes,
        fairness=fairness,
        report=Report.of(config),
        share=Share.of(config, or_defaults=True),
    )
    return index


def study_context(
    study_root: Path, config: Mapping[str, object], facts: Provenance
) -> StudyContext:
    """Load everything that the report shows."""
    kind, protocol = source_kind(config), protocol_of(config)
    study = Study.of_tables(study_root, config)
    ledger = study.ledger
    costs = study.table("cost", columns=["unit", "stage", "seconds", "peak_mb"])
    if not costs.empty:
        ledger = ledger.merge(costs, on=["unit", "stage"], how="left")
    named = model_of(protocol, Segment.of(config))
    model = bundle_path(named) if named else Path("no model")
    card = model / "card.md"
    fairness = Fairness.of(config)
    flagged = units_to_look_at(study_root, limit=Report.of(config).max_flagged_pages)
    context = StudyContext(
        name=StudySection.of(config).title,
        protocol=protocol,
        description=_description(protocol.words, kind, list(map(str, ledger["unit"].unique()))),
        participants=study.attributes.reset_index(),
        stages=tuple(stages_of(kind, optional=optional_stages(config))),
        ledger=pd.concat([ledger, study.accounts], ignore_index=True),
        study_costs=study_costs(study_root),
        cost_rates=cost_rates(study_root),
        qc_checks=study.table(
            "qc_checks", columns=[*_WORDS_OF_CHECKS, "value"], coded=_WORDS_OF_CHECKS
        ),
        flagged_checks=study.table("qc_checks", units=flagged),
        qc=study.verdicts,
        biomarkers=study.biomarkers.drop(columns=["analysed", "qc_verdict"], errors="ignore"),
        biomarker_dictionary=_dictionary(study_root, "biomarkers"),
        scores=read_table(study_root, "scores"),
        recon_scores=read_table(study_root, "recon_scores"),
        variant_scores=variant_scores(study),
        model_errors=model_errors(config),
        associations=read_table(study_root, "associations"),
        harmonisation=study.harmonisation,
        agreement_points=agreement_points(study_root, fairness, kind),
        extras=extra_sections(study_root, config),
        atlas=_atlas(study_root, config, protocol),
        provenance={key: value for key, value in facts.items() if key != "config"},
        retrospective=retrospective_note(config),
        gallery=recon_gallery(Store(study_root), read_table(study_root, "recon_scores"), protocol),
        config_text=yaml.safe_dump(dict(config), sort_keys=False),
        model_cards={model.name: card.read_text(encoding="utf-8")} if card.exists() else {},
        limits=[
            *_limits(protocol.words, kind, facts),
            *_not_repeated(study),
            *(f"Cohort: {note}" for note in study.notes),
        ],
        flagged=flagged_subjects(Store(study_root), protocol, config),
        with_pages=flagged,
    )
    return with_whole_audit(context, study_root, alpha=fairness.alpha)


def _atlas(
    study_root: Path, config: Mapping[str, object], protocol: Protocol
) -> Mapping[str, Mapping[str, object]]:
    if protocol.atlas is None or not Atlas.of(config).enabled:
        return {}
    return atlas_pictures(study_root, protocol.atlas)


def _description(words: Words, kind: str, units: Sequence[str]) -> str:
    source = {
        "simulated": words.simulated,
        "acdc": "read from ACDC folders",
        "dicom": "read from DICOM",
        "ukb": "read from UK Biobank's bulk files",
        "bids": "read from BIDS-like NIfTI",
        "kspace": "reconstructed from raw k-space",
    }.get(kind, f"read from {kind}")
    n_subjects = len(set(map(subject_of, units)))
    visits = f" at {plural(len(units), 'visit')}" if n_subjects < len(units) else ""
    return f"{words.acquisition} of {plural(n_subjects, 'subject')}{visits}, {source}."


def _limits(words: Words, kind: str, facts: Provenance) -> list[str]:
    limits = [*words.limits]
    if kind == "simulated":
        limits.append("All subjects are simulated: nothing here is about real people.")
    return limits + [f"Cohort: {problem}" for problem in facts["cohort"]["problems"]]


def _not_repeated(study: Study) -> list[str]:
    """Say what a study cannot know in which no subject was measured twice."""
    people = study.attributes
    if "sub" in people and people["sub"].duplicated().any():
        return []
    return [
        "Nobody was measured twice: how well these numbers repeat is unknown (docs/precision.md)."
    ]


def _dictionary(study_root: Path, table: str) -> pd.DataFrame:
    path = tables_folder(study_root) / f"{table}.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return pd.DataFrame([{"column": column, **entry} for column, entry in entries.items()])
