"""What ``popscan check`` says of scans: that of ingest, for a sample or for all, without a file."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from popscan.commands.check import check_study
from popscan.commands.check_scans import Opened, open_scans, sample
from popscan.config import Config
from popscan.plan import Planned
from popscan.records import Subject
from popscan.study.listing import find_cohort

TURN = np.linalg.qr(np.array([[-1.0, -0.7, 0.6], [1.0, -0.7, 0.6], [0.1, 0.8, 0.9]]))[0]
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * [1.5, 1.5, 8.0]


def write_cine(root: Path, sub: str, *, step_ms: float = 40.0, frames: int = 20, **changes) -> Path:
    path = root / sub / f"{sub}_sax.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(sub))
    array = changes.get("array", rng.integers(0, 900, (8, 7, 3, frames)).astype(np.int16))
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = step_ms
    image.to_filename(path)
    return path


def opened(root: Path, **options) -> Opened:
    config = Config.model_validate({"source": {"kind": "bids", "root": str(root)}}).model_dump()
    return open_scans(config, find_cohort(config).planned, **options)


@pytest.fixture
def root(tmp_path) -> Path:
    for number in range(4):
        write_cine(tmp_path, f"sub-{number}")
    return tmp_path


def test_healthy_scans_are_described_and_nothing_is_written(root):
    before = sorted(root.rglob("*"))
    found = opened(root)
    assert found.problems() == []
    first, second = found.notes()
    assert first.startswith("4 of 4 subjects opened in ")
    assert second == (
        "views: sax (4); slices 3; frames 20; heart rate 75 /min; reference labels of 0 subjects"
    )
    assert sorted(root.rglob("*")) == before


def test_failures_are_grouped_by_reason_with_a_first_example(root):
    for number in (1, 3):
        path = root / f"sub-{number}" / f"sub-{number}_sax.nii.gz"
        path.write_bytes(path.read_bytes()[:-40])
    write_cine(root, "sub-2", array=np.full((8, 7, 3, 20), 5, np.int16))
    problems = opened(root).problems()
    assert problems[0].startswith("2 of 4 opened: `truncated_file`, first sub-1: ")
    assert problems[1].startswith("1 of 4 opened: `constant_image`, first sub-2: ")
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("step_ms", "said"),
    [
        (2.9, "too short, as dcm2niix writes the repetition time"),
        (1000.0, "1 s per frame, as SimpleITK and nibabel write"),
        (30_000.0, "too long, as milliseconds that the header calls seconds"),
    ],
)
def test_cycle_that_no_heart_has_names_the_habit_of_the_converter(root, step_ms, said):
    for number in (0, 1):
        write_cine(root, f"sub-{number}", step_ms=step_ms)
    found = opened(root)
    others = [r for r in found.rates_bpm if not 74 < r < 76]
    assert others == ([pytest.approx(100.0)] * 2 if step_ms == 30_000.0 else [])
    (problem,) = found.problems()
    assert problem.startswith("2 of 4 opened: ")
    assert said in problem
    assert problem.endswith("first sub-0")


def test_whatever_a_sidecar_holds_there_is_no_traceback(root):
    for number, content in enumerate(('{"meta": {"rr_ms": "x"}}', "[]", '{"meta": 3}', "{")):
        side = root / f"sub-{number}" / f"sub-{number}_sax.json"
        side.write_text(content)
    found = opened(root)
    assert "unexpected_error" not in found.failures
    assert found.n_opened == 4


def test_excluded_subjects_are_not_opened(tmp_path):
    path = write_cine(tmp_path, "sub-1")
    planned = Planned(
        subject=Subject(sub="sub-1", sources=(str(path.parent),)),
        problem={"status": "excluded", "reason": "exclusion_list", "message": "listed"},
    )
    options = Config.model_validate({"source": {"kind": "bids", "root": str(tmp_path)}})
    found = open_scans(options.model_dump(), [planned], deep=True)
    assert (found.n_subjects, found.n_opened) == (0, 0)


def _many(n: int) -> list[Planned]:
    rng = np.random.default_rng(0)
    sizes = rng.permutation(n) + 100
    return [
        Planned(subject=Subject(sub=f"sub-{i:04d}"), stat={"a": (int(sizes[i]), 0)})
        for i in range(n)
    ]


def test_sample_has_some_of_every_part_the_smallest_and_the_largest():
    planned = _many(1000)
    chosen = sample(planned, seed=3)
    assert len(chosen) == 20
    assert chosen == sample(planned, seed=3) != sample(planned, seed=4)
    sizes = [p.stat["a"][0] for p in chosen]
    assert (min(sizes), max(sizes)) == (100, 1099)
    numbers = [int(p.subject.sub[4:]) for p in chosen]
    assert numbers == sorted(set(numbers))
    assert max(np.diff([0, *numbers, 999])) < 120
    assert sample(planned[:7], seed=3) == planned[:7]


def test_sample_is_bounded_in_time_and_deep_opens_all(tmp_path):
    for number in range(25):
        write_cine(tmp_path, f"sub-{number:02d}", frames=6)
    assert opened(tmp_path).n_opened == 20
    assert opened(tmp_path, budget_s=0.0).n_opened <= 1
    found = opened(tmp_path, deep=True, budget_s=0.0)
    assert (found.n_opened, found.n_subjects) == (25, 25)
    assert "--deep" in opened(tmp_path).notes()[0]
    assert "--deep" not in found.notes()[0]


def test_command_says_it(root, tmp_path):
    write_cine(root, "sub-1", step_ms=2.9)
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "study": {"name": "a", "results": str(tmp_path)},
                "source": {"kind": "bids", "root": str(root)},
                "fairness": {"attributes": [], "intersections": []},
            }
        )
    )
    problems, notes = check_study(config, deep=True)
    assert any("1 of 4 opened: frame times outside of a heart cycle" in p for p in problems)
    assert any(note.startswith("4 of 4 subjects opened") for note in notes)


def test_overrides_that_would_end_the_study_at_its_tables_are_problems_now(root, tmp_path):
    overrides = tmp_path / "overrides.tsv"
    overrides.write_text(
        "participant_id\tverdict\treason\tname\nsub-9\tpass\tok\tme\nsub-1\tmaybe\tok\t\n"
    )
    config = tmp_path / "config.json"
    sections = {
        "study": {"name": "a", "results": str(tmp_path)},
        "source": {"kind": "bids", "root": str(root)},
        "fairness": {"attributes": [], "intersections": []},
        "qc": {"overrides": str(overrides)},
    }
    config.write_text(json.dumps(sections))
    problems = [text for text in check_study(config)[0] if "qc.overrides" in text]
    assert len(problems) == 3
    assert "line 2: there is no subject 'sub-9'" in problems[0]
    assert "unknown verdict 'maybe'" in problems[1]
