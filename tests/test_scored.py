"""Which rows of the tables of scores enter a summary, whatever wrote the flags."""

import numpy as np
import pandas as pd
import pytest

from popscan.scored import counted, failed_reference, seen_in_training


@pytest.mark.parametrize("dtype", [object, "str"])
def test_training_subjects_are_known_by_any_spelling(dtype):
    flags = pd.Series(["true", "True ", "1", "1.0", "yes", "no", "", "0", None], dtype=dtype)
    table = pd.DataFrame({"seen_in_training": flags}).set_axis(range(5, 14))
    assert seen_in_training(table).tolist() == [True] * 5 + [False] * 4
    assert seen_in_training(table).index.tolist() == list(range(5, 14))


@pytest.mark.parametrize("flags", [[True, False, True], [1, 0, 1], [1.0, np.nan, 1.0]])
def test_training_subjects_are_known_by_numbers(flags):
    assert seen_in_training(pd.DataFrame({"seen_in_training": flags})).tolist() == [
        True, False, True,
    ]  # fmt: skip


def test_rows_of_unknown_standing_are_counted():
    table = pd.DataFrame({"reference_verdict": ["fail", "pass", None], "dice": [0.1, 0.2, 0.3]})
    assert failed_reference(table).tolist() == [True, False, False]
    assert counted(table)["dice"].tolist() == [0.2, 0.3]
    assert counted(table.drop(columns="reference_verdict"))["dice"].tolist() == [0.1, 0.2, 0.3]
    assert len(counted(table.head(0))) == 0
