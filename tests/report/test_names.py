"""People read titles and units; machine names are on hover or set as code."""

from __future__ import annotations

import doctest
import re

import pytest

from popscan.protocol import load
from popscan.protocols import every
from popscan.report import names, render_study
from popscan.report.names import name_of, plain, readable, readable_svg, titles
from popscan.stages import STAGES

RAW = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b")


def visible(html: str) -> str:
    """Text of a page that is neither code nor on hover."""
    html = re.sub(r"<(script|style|code|pre|template)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", html)


@pytest.mark.parametrize(
    ("machine", "full"),
    [
        ("lvef_pct", "LVEF (%)"),
        ("lv_curve_spike_pct", "Spike in the volume curve of LV (%)"),
        ("p_gap_error_adj", "p of error of the gap, adjusted"),
        ("field_strength_t", "Field strength (T)"),
        ("dice_lv", "Dice, LV cavity"),
        ("hd95_mm_myo", "HD95, LV myocardium (mm)"),
        ("lvedv_ml_abs_error", "Absolute error of LVEDV (mL)"),
        ("segment_failed", "Failed at segmentation"),
        ("check_slice_shift_mm", "Check: shift between slices"),
        ("max_gap_ci_low", "Largest gap, lower limit"),
        ("waist_cm", "Waist (cm)"),
    ],
)
def test_a_machine_name_has_a_title_and_a_unit(machine, full):
    assert name_of(machine).full() == full


def test_no_title_is_a_machine_name():
    described = {
        name
        for protocol in every()
        for where in (protocol.quality.checks, protocol.biomarkers.dictionary)
        if where
        for name in load(where)
    }
    for machine in [*sorted(described), *STAGES, *titles()]:
        title = name_of(machine).full()
        assert not RAW.search(title), (machine, title)
        assert (
            title[:1] == title[:1].upper() or machine in ("n", "p", "q", "r") or title[1:2] in " ,"
        )


def test_text_shows_titles_and_keeps_the_name_on_hover():
    html = readable("Gaps by sex, age_years held equal (table reference_checks), <b> of sub_x_1.")
    assert '<span class="nm" title="age_years">age</span>' in html
    assert "<code>reference_checks</code>" in html
    assert "&lt;b&gt;" in html
    assert not RAW.search(visible(html))
    assert readable("biomarkers.interval_level") == "<code>biomarkers.interval_level</code>"
    for untouched in ("sub-0001_ses-01", "/data/a_b/c_d.nii", "a_b@c_d"):
        assert readable(untouched) == untouched
    assert plain("lvef_pct") == "LVEF (%)"
    svg = names.Markup("<text>age_years &amp; lvef_pct</text><path d='a_b'/>")
    assert readable_svg(svg) == "<text>age &amp; LVEF</text><path d='a_b'/>"
    assert doctest.testmod(names).failed == 0


@pytest.fixture(scope="module")
def study(make_context, tmp_path_factory):
    index = render_study(make_context(20, flagged=2), tmp_path_factory.mktemp("names"))
    return index.read_text(encoding="utf-8")


def test_no_machine_name_is_left_in_a_report(study):
    raw = re.compile(r"(?<![\w-])[a-z0-9]+(?:_[a-z0-9]+)+\b")  # but names of subjects
    assert set(raw.findall(visible(study))) == set()
