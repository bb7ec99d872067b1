"""A study's own predictions: from a table to its audit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.config import Fairness
from popscan.study.predictions import PredictionProblems, study_predictions

PEOPLE = pd.DataFrame(
    {
        "sub": ["sub-1", "sub-2", "sub-3", "sub-3"],
        "sex": ["female", "male", "female", "female"],
        "disease": ["yes", "no", "no", "yes"],
    },
    index=["sub-1", "sub-2", "sub-3_ses-1", "sub-3_ses-2"],
)


def wanted(path, **keys):
    column = {"score": "p", "truth": "disease"} | keys
    section = {"predictions": {"table": str(path), "columns": [column]}}
    return Fairness.model_validate(section).predictions


def write(tmp_path, text):
    path = tmp_path / "predictions.tsv"
    path.write_text(text.replace(" ", "\t"))
    return path


def test_predictions_find_their_subjects_and_the_truth_of_the_cohort(tmp_path):
    path = write(
        tmp_path,
        "participant_id session_id p\nsub-1  0.9\nsub-3 ses-2 0.7\nsub-9  0.1\n",
    )
    (found,), notes = study_predictions(wanted(path), PEOPLE)
    assert found.score.to_dict() == pytest.approx(
        {"sub-1": 0.9, "sub-2": np.nan, "sub-3_ses-1": np.nan, "sub-3_ses-2": 0.7}, nan_ok=True
    )
    assert found.truth.tolist() == [1, 0, 0, 1]
    text = " ".join(notes)
    assert "1 rows are of no visit of this study: sub-9" in text
    assert "2 of 4 subjects have no prediction" in text


def test_a_truth_in_the_table_goes_before_the_cohorts(tmp_path):
    path = write(tmp_path, "participant_id p disease\nsub-1 0.9 no\nsub-2 0.2 yes\n")
    (found,), _ = study_predictions(wanted(path), PEOPLE)
    assert found.truth.tolist()[:2] == [0, 1]


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (
            "participant_id p\nsub-1 0.9\nsub-2 0.1\n",
            {"score": "q"},
            r"columns\[0\]\.score: no col",
        ),
        ("participant_id p\nsub-1 0.9\nsub-2 0.1\n", {"truth": "age"}, r"columns\[0\]\.truth: no"),
        ("participant_id p\nsub-1 3\nsub-2 2\n", {}, "threshold: none given"),
        ("participant_id p\nsub-1 a\nsub-2 b\n", {}, "without a single number"),
        ("participant_id p\n", {}, "no rows"),
    ],
)
def test_what_cannot_be_used_is_named(text, keys, message, tmp_path):
    with pytest.raises(PredictionProblems, match=message):
        study_predictions(wanted(write(tmp_path, text), **keys), PEOPLE)


def test_a_table_that_is_not_there_or_columns_that_are_not_are_named(tmp_path):
    with pytest.raises(PredictionProblems, match="no such file"):
        study_predictions(wanted(tmp_path / "none.tsv"), PEOPLE)
    empty = Fairness.model_validate({"predictions": {"table": "x.tsv"}}).predictions
    with pytest.raises(PredictionProblems, match="both table and columns"):
        study_predictions(empty, PEOPLE)
    assert study_predictions(Fairness().predictions, PEOPLE) == ([], [])


def test_predictions_for_training_subjects_are_left_out(tmp_path):
    path = write(
        tmp_path,
        "participant_id session_id p seen_in_training\n"
        "sub-1  0.9 1\nsub-2  0.2 0\nsub-3 ses-2 0.7 n/a\n",
    )
    (found,), notes = study_predictions(wanted(path), PEOPLE)
    assert np.isnan(found.score["sub-1"])
    assert found.score["sub-2"] == pytest.approx(0.2)
    assert found.score["sub-3_ses-2"] == pytest.approx(0.7)
    assert "the model was trained on 1 of 3 subjects" in " ".join(notes)
    path = write(tmp_path, "participant_id p seen_in_training\nsub-1 0.9 1\nsub-2 0.2 True\n")
    with pytest.raises(PredictionProblems, match="trained on all subjects"):
        study_predictions(wanted(path), PEOPLE)
