"""The page of reviews in a real browser: keys, what it saves, and what the study makes of it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from browser import Browser
from popscan.config import Qc
from popscan.qc import parse_overrides
from popscan.qc.overrides import override_problems, tidy_overrides
from popscan.report.review import REASONS, review_page
from popscan.study.overrides import final_verdicts


@pytest.fixture(scope="module")
def judged(make_context, tmp_path_factory):
    context = make_context(40, flagged=3)
    subjects = [replace(one, loop=one.image, loop_labels=one.labels) for one in context.flagged]
    given = parse_overrides(
        "participant_id\tsession_id\tverdict\treason\tname\n"
        "sub-0001\tses-01\tfail\tasked to leave\tA. B.\n"
    )
    earlier = tidy_overrides(given)
    path = tmp_path_factory.mktemp("review") / "review.html"
    review_page(path, context, subjects, earlier=earlier)
    return context, [one.unit for one in subjects], path


@pytest.mark.browser
def test_what_is_judged_by_keys_is_read_by_the_study(judged, tmp_path):
    context, units, page = judged
    with Browser(tmp_path / "profile") as browser:
        browser.downloads(tmp_path)
        browser.open(page)
        place = "document.getElementById('place').textContent"
        assert browser.run(place) == "1 of 3, 0 judged"
        hidden = "Array.from(document.querySelectorAll('article')).map((a) => a.hidden)"
        assert browser.run(hidden) == [False, True, True]
        browser.press("f", "1", "Enter")  # a verdict without a name is not kept
        assert "name" in browser.run("document.getElementById('hint').textContent")
        browser.press('Dr "Who"', "Enter")
        assert browser.run(place) == "2 of 3, 1 judged"
        browser.press("p", "looks\tfine = yes", "Enter", "n", "b")
        browser.press("n", "r", "2", "b", "b", "u", "f", "3", "n", "n", "s")
        saved = tmp_path / "overrides.tsv"
        browser.wait("document.getElementById('hint').textContent.includes('saved')")
        for _ in range(200):
            if saved.is_file() and saved.stat().st_size:
                break
            browser.run("new Promise((done) => setTimeout(done, 20))")
        assert browser.errors == []
    table = parse_overrides(saved.read_text(encoding="utf-8"))
    assert override_problems(table, context.qc["unit"].tolist() + ["sub-0001_ses-01"]) == []
    by = table.set_index("unit")
    assert by["verdict"].to_dict() == {
        "sub-0001_ses-01": "fail", units[0]: "fail", units[1]: "pass", units[2]: "review",
    }  # fmt: skip
    assert by.loc[units[0], "reason"] == REASONS[2]
    assert by.loc[units[1], "reason"] == "looks fine = yes"
    assert by.loc["sub-0001_ses-01", "reason"] == "asked to leave"
    assert set(by.loc[units, "name"]) == {'Dr "Who"'}
    assert by["date"].str.fullmatch(r"\d{4}-\d\d-\d\d|").all()
    options = {"qc": {**Qc().model_dump(), "overrides": str(saved)}}
    known = pd.concat([context.qc["unit"], pd.Series(["sub-0001_ses-01"])]).drop_duplicates()
    final = final_verdicts(pd.DataFrame({"unit": known, "verdict": "review"}), options)
    verdict = final.set_index("unit")["verdict"]
    assert verdict[units].tolist() == ["fail", "pass", "review"]
    assert (final.set_index("unit").loc[units, "override_by"] == 'Dr "Who"').all()


@pytest.mark.browser
def test_the_loop_plays_steps_and_hides_its_contours(judged, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(judged[2])
        frame = "document.querySelector('.loop input').value"
        browser.press(" ")
        assert browser.run("document.querySelector('.loop button').textContent") == "Play"
        before = browser.run(frame)
        browser.press("ArrowRight")
        assert browser.run(frame) != before
        shown = (
            "Array.from(document.querySelectorAll('article:not([hidden]) g[data-frame]'))"
            ".filter((g) => g.getAttribute('display') === 'inline').map((g) => g.dataset.frame)"
        )
        assert browser.run(shown) == [browser.run(frame)]
        contours = "getComputedStyle(document.querySelector('.loop svg')).display"
        assert browser.run(contours) != "none"
        browser.press("c")
        assert browser.run(contours) == "none"
        assert browser.errors == []


def test_the_page_needs_nothing_from_elsewhere(judged):
    html = judged[2].read_text(encoding="utf-8")
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in html
