"""Predictions of a table: scores of a classifier, or values of a regression, beside the truth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from popscan.config.section import ColumnName, Section


class PredictedColumn(Section):
    """One prediction that is audited: by whatever model, of whatever organ."""

    score: ColumnName = Field(
        description="Column with the score (higher means positive) or the predicted value."
    )
    truth: ColumnName = Field(description="Column with the true class or value.")
    kind: Literal["classification", "regression"] = Field(
        default="classification", description="What is predicted: a class or a number."
    )
    name: str = Field(
        default="", pattern=r"^[a-z0-9_]*$", description="Name in results; by default the truth's."
    )
    positive: str | StrictBool | StrictInt | StrictFloat | None = Field(
        default=None,
        description="Value of the truth that counts as positive; needed unless it is 0 or 1.",
    )
    threshold: float | None = Field(
        default=None,
        description="Score from which on a subject is called positive; 0.5 for probabilities, "
        "needed for other scores.",
    )


class StudyPredictions(Section):
    """Predictions of a study's subjects, from a model of your own or `popscan predict`."""

    table: str = Field(
        default="",
        description="TSV or CSV with participant_id, session_id where there are visits, and the "
        "columns below; a truth that it lacks is taken from the cohort table.",
    )
    columns: list[PredictedColumn] = Field(
        default=[], description="What is predicted: score, truth, kind, positive, threshold."
    )
