"""The report names the level of the audit, which `fairness.alpha` sets."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from popscan.report.pages import render_study


@pytest.mark.parametrize(("alpha", "level"), [(0.05, "95"), (0.1, "90")])
def test_intervals_are_called_by_their_level(make_context, tmp_path, alpha, level):
    context = replace(make_context(), alpha=alpha, compared=None, sentences=(), words={}, extras=())
    page = render_study(context, tmp_path).read_text(encoding="utf-8")
    found = set(re.findall(r"([\d.]+)% interval", page))
    associations = {"95"} if len(context.associations) else set()
    assert level in found
    assert found <= {level} | associations
    assert len(re.findall(r"adjusted p ≤ ([\d.]+)", page)) == 1
    assert re.findall(r"adjusted p ≤ ([\d.]+)", page) == [f"{alpha:g}"]
