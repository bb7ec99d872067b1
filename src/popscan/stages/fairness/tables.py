"""Every table of the fairness audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from popscan.config import Fairness
from popscan.stages.fairness.inputs import AuditInputs
from popscan.study.cohort import first_visits, known_columns

if TYPE_CHECKING:
    from popscan.fairness.prediction_outcomes import Prediction


#: Columns that may be associated with a group whether or not the config adjusts for them.
_SUSPECTS = ("age_years", "bmi_kg_m2", "site", "scanner", "manufacturer", "field_strength_t")


def audit_tables(
    inputs: AuditInputs, section: Fairness, *, seed: int
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
    from popscan.fairness.funnel import funnel
    from popscan.fairness.groups import outcome_matrix
    from popscan.fairness.ledger import bias_ledger
    from popscan.fairness.pairs import all_pairs

    people = inputs.attributes
    attributes, absent = known_columns(section.attributes, people)
    notes = [f"{name} is not recorded in this study; it was not audited." for name in absent]
    confounders, lacking = known_columns(section.adjust_for, people)
    notes += [f"{name} is not recorded: gaps are not adjusted for it." for name in lacking]
    block = section.adjust_block if section.adjust_block in people else None
    if section.adjust_block and block is None:
        notes.append(f"{section.adjust_block} is not recorded: there is no mixed model.")
    crossed = _crossed(section, people)
    notes += [
        f"{' x '.join(names)} was not audited: {', '.join(lost)} is not recorded in this study."
        for names in section.intersections
        if (lost := [n for n in known_columns(names, people)[1] if n not in absent])
    ]
    common: dict[str, Any] = {
        "attributes_to_test": attributes,
        "reference": section.reference or None,
        "min_group": section.min_group,
        "alpha": section.alpha,
    }
    parts = {"family": section.family, "roles": section.roles}
    corrected = {**common, "correction": section.correction, **parts}
    once, repeated = first_visits(people)
    notes += repeated
    cluster = "sub" if repeated else None
    matrix = outcome_matrix(inputs.outcomes, people.index.sort_values())
    result = audit(
        inputs.outcomes,
        people,
        matrix=matrix,
        intersections=crossed,
        n_boot=section.n_boot,
        cluster=cluster,
        seed=seed,
        **corrected,
    )
    tables = {
        "outcomes": inputs.outcomes,
        "groups": result.groups,
        "gaps": result.gaps,
        "summary": result.summary,
        "confounding": confounding_table(once, section),
        "pairs": all_pairs(
            inputs.outcomes,
            once,
            matrix=matrix,
            attributes_to_test=attributes,
            min_group=section.min_group,
            correction=section.correction,
        ),
        "exclusion": _exclusion(inputs, once, section, common),
    }
    if inputs.stages:
        tables["funnel"] = funnel(
            inputs.ledger, once, stages=inputs.stages, intersections=crossed, **corrected
        )
    if confounders:
        tables["adjusted"] = adjusted_gaps(
            inputs.outcomes,
            people,
            matrix=matrix,
            adjust_for=confounders,
            methods=section.adjust_methods,
            unavailable=lacking,
            block=block,
            cluster=cluster,
            **corrected,
        )
    if len(inputs.reference):
        tables["agreement"] = bland_altman(
            inputs.measured,
            inputs.reference,
            once,
            biomarkers=section.biomarkers,
            against="reference" if inputs.reference_is_true else "mean",
            **corrected,
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
    if inputs.predictions:
        tables |= prediction_tables(
            inputs.predictions,
            people,
            attributes_to_test=attributes,
            section=section,
            cluster=cluster,
            seed=seed,
        )
    return tables, [*result.notes, *notes]


def _crossed(section: Fairness, people: pd.DataFrame) -> list[list[str]]:
    """Return the intersections of which the study has every part."""
    return [names for names in section.intersections if not known_columns(names, people)[1]]


def prediction_tables(
    predictions: Sequence[Prediction],
    people: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    section: Fairness,
    cluster: str | None,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Compute the tables of `PREDICTION_TABLES`.

    Parameters
    ----------
    predictions
        Classifiers and regressions.
    people
        One row per unit.
    attributes_to_test
        Columns of `people`.
    section
        Config section fairness.
    cluster
        Column of the subject, where subjects repeat.
    seed
        Of everything that is drawn.
    """
    from popscan.fairness.design import AuditDesign
    from popscan.fairness.prediction_curves import calibration_table, threshold_table
    from popscan.fairness.predictions import prediction_table

    common: dict[str, Any] = {
        "attributes_to_test": attributes_to_test,
        "design": AuditDesign(
            alpha=section.alpha, min_group=section.min_group, n_boot=section.n_boot, seed=seed
        ),
        "cluster": cluster,
    }
    tables = {
        "predictions": prediction_table(
            predictions,
            people,
            intersections=_crossed(section, people),
            reference=section.reference or None,
            correction=section.correction,
            family=section.family,
            roles=section.roles,
            **common,
        ),
        "calibration": calibration_table(predictions, people, **common),
        "thresholds": threshold_table(
            predictions, people, reference=section.reference or None, **common
        ),
    }
    return {name: table for name, table in tables.items() if len(table)}


def confounding_table(
    people: pd.DataFrame, section: Fairness, *, min_cell: int = 0
) -> pd.DataFrame:
    """Measure what is associated with the attributes of the audit.

    Parameters
    ----------
    people
        One row per subject.
    section
        Config section fairness.
    min_cell
        For what is shared: the smallest count that may be shown.
    """
    from popscan.fairness.confounding import confounding

    attributes, _ = known_columns(section.attributes, people)
    confounders, _ = known_columns(section.adjust_for, people)
    return confounding(
        people,
        attributes_to_test=attributes,
        confounders=list(dict.fromkeys([*confounders, *_SUSPECTS])),
        min_group=section.min_group,
        min_cell=min_cell,
        correction=section.correction,
    )


def _exclusion(
    inputs: AuditInputs, people: pd.DataFrame, section: Fairness, common: Mapping[str, Any]
) -> pd.DataFrame:
    """Whether QC excludes one group more at equal true quality; empty without references."""
    from popscan.fairness.adjusted import DICTIONARY
    from popscan.fairness.funnel import exclusion_at_equal_quality

    rows = inputs.outcomes[inputs.outcomes["outcome"] == section.quality]
    if rows.empty or "verdict" not in inputs.qc:
        return pd.DataFrame(columns=list(DICTIONARY))
    quality = rows.astype({"unit": str}).set_index("unit")["value"]
    excluded = inputs.qc.set_index("unit")["verdict"] == "fail"
    return exclusion_at_equal_quality(excluded, quality, people, **common)
