"""Where a network decides between cavity and wall."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.training.decision import GRID, cavity_errors, unbiased_offset
from popscan.segment.calibration import log_odds_of


def _ramp() -> tuple[torch.Tensor, np.ndarray]:
    """Return a slice whose log-odds of cavity against wall rise by 0.1 a pixel, and its truth."""
    odds = torch.arange(-20, 20) / 10 + 0.05
    p = torch.zeros(1, 4, 40, 1)
    p[0, int(Label.LV), :, 0] = torch.sigmoid(odds)
    p[0, int(Label.MYO), :, 0] = 1 - torch.sigmoid(odds)
    truth = np.zeros((40, 1, 1, 1), np.uint8)
    truth[17:] = Label.LV  # The network draws the border three pixels too far in.
    return p, truth


def test_errors_of_the_cavity_at_every_offset_and_where_they_vanish():
    p, truth = _ramp()
    found = cavity_errors(p, truth)
    assert found.shape == (len(GRID),)
    assert (np.diff(found) >= 0).all()
    assert found[GRID.index(0.0)] == pytest.approx(20 / 23 - 1)
    assert unbiased_offset([found, found]) == pytest.approx(0.3)
    assert np.isnan(cavity_errors(p, truth * 0)).all()


def test_patients_without_a_cavity_do_not_count_and_nobody_moves_nothing():
    p, truth = _ramp()
    nothing = np.full(len(GRID), math.nan)
    assert unbiased_offset([nothing, cavity_errors(p, truth)]) == pytest.approx(0.3)
    assert unbiased_offset([nothing]) == unbiased_offset([]) == 0.0


def test_log_odds_are_in_the_order_of_the_labels():
    labels = {"lv": 3, "rv": 1, "myo": 2}
    assert log_odds_of({"decision": {"lv": 0.4}}, labels) == [0.0, 0.0, 0.0, 0.4]
    assert log_odds_of({}, labels) == [0.0] * 4
