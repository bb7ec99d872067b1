"""`popscan check` finds methods and options that would fail every subject hours later."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from popscan.commands.check import check_study


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("stages: {motion: {enabled: true, method: svff}}", "there is no method 'svff'"),
        (
            "stages: {motion: {enabled: true, options: {smoothing: 2}}}",
            "stages.motion.options: there is no option 'smoothing'",
        ),
        (
            "stages: {motion: {enabled: true, method: svf, options: {distance: 3}}}",
            "stages.motion.options: option 'distance'",
        ),
        (
            "{protocol: brain_t1, stages: {motion: {enabled: true}}}",
            "protocol brain_t1 measures no motion",
        ),
        (
            "stages: {stopping: {enabled: true, options: {iterations: 3}}}",
            "stages.stopping.options: there is no option 'iterations'",
        ),
        (
            "stages: {stopping: {enabled: true, options: {lam: -1}}}",
            "stages.stopping.options: option 'lam'",
        ),
        (
            "stages: {stopping: {enabled: true, unchecked: [frames_count]}}",
            "stages.stopping.unchecked: 'frames_count' is none of the protocol's (did you mean "
            "'frame_count'",
        ),
        (
            "stages: {stopping: {enabled: true, widths: {lvef: 10}}}",
            "stages.stopping.widths: 'lvef' is none of the protocol's (did you mean 'lvef_pct'",
        ),
    ],
)
def test_what_a_side_stage_cannot_use_is_named(tmp_path: Path, config: str, expected: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(config)
    problems, _ = check_study(path)
    assert any(expected in problem for problem in problems), problems
    path.write_text(config.replace("enabled: true", "enabled: false"))
    assert not any(expected in problem for problem in check_study(path)[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("reconstruct: {device: cuda}")
    problems, _ = check_study(path)
    assert any(problem.startswith(f"{path}: reconstruct.device: cuda") for problem in problems)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("subjects: [sub-9999]", "subjects: not in the study: sub-9999"),
        (
            "qc: {thresholds: {snr: {review: 3, fail: 30}}}",
            "qc.thresholds: qc threshold snr: fail < 30 is reached before review < 3",
        ),
        (
            "qc: {thresholds: {snr: {review: .inf}}}",
            "qc.thresholds: qc threshold snr.review: expected a number",
        ),
        (
            "stages: {motion: {enabled: true, options: [1]}}",
            "{path}: stages.motion.options: ",
        ),
        ("source: {views: [2ch]}", "source.views: sax is missing"),
        ("fairness: {roles: {sx: protected}}", "fairness.roles: 'sx'"),
        (
            "simulate: {bias: [{attribute: sex, group: femal, kind: contrast, strength: 1}]}",
            "{path}: simulated bias: sex has no group 'femal'",
        ),
    ],
)
def test_what_would_do_otherwise_than_is_meant_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "study.yaml"
    source = "" if config.startswith("source") else "source: {kind: simulated}, "
    path.write_text(f"{{{source}{config}}}")
    problems, _ = check_study(path)
    start = expected.format(path=path)
    starts = (start, f"{path}: {start}")
    assert any(problem.startswith(starts) for problem in problems), problems
