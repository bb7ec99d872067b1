"""Boosted trees as plain numbers: what they add up to is what scikit-learn says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import GradientBoostingClassifier

from popscan.qc.trees import from_table, probability, read_trees, to_table

NAMES = ("a", "b", "c")


def fitted() -> tuple[GradientBoostingClassifier, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3)).astype(np.float32).astype(float)
    y = x[:, 0] * x[:, 1] > 0
    model = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=0)
    return model.fit(x, y, sample_weight=np.where(y, 3.0, 1.0)), x


def test_a_file_of_numbers_predicts_as_the_fitted_model(tmp_path) -> None:
    model, x = fitted()
    path = tmp_path / "trees.json"
    path.write_text(json.dumps(to_table(model, NAMES, np.zeros(3))), encoding="utf-8")
    found = expit(read_trees(path).log_odds(x))
    assert found == pytest.approx(model.predict_proba(x)[:, 1], abs=1e-4)


def test_a_missing_sign_counts_as_usual_and_adds_nothing() -> None:
    model, x = fitted()
    trees = from_table(to_table(model, NAMES, np.array([0.5, -0.5, 0.0])))
    some = {"a": float(x[0, 0]), "c": float(x[0, 2])}
    assert trees.log_odds(trees.row(some)[None]) == trees.log_odds(
        np.array([[some["a"], -0.5, some["c"]]])
    )
    assert trees.contributions(some)["b"] == 0
    assert set(trees.contributions(some)) == set(NAMES)
    assert 0 <= probability(float(trees.log_odds(trees.row({})[None])[0])) <= 1


@pytest.mark.parametrize(
    "node", [[3, 0.0, 1, 2, 0.0], [0, 0.0, 0, 2, 0.0], [0, 0.0, 1, 3, 0.0], [-2, 0.0, 1, 2, 0.0]]
)
def test_a_node_that_leads_nowhere_is_refused(node: list[float]) -> None:
    leaf = [-1, 0.0, 0, 0, 1.0]
    table = {"names": NAMES, "usual": [0.0] * 3, "start": 0.0, "trees": [[node, leaf, leaf]]}
    with pytest.raises(ValueError, match="trees: a node"):
        from_table(table)
