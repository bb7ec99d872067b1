"""Messages on what was mistyped: in words of people, with what may have been meant."""

from pathlib import Path

import pytest

from popscan.cli import main
from popscan.commands.configfile import ConfigError, load_config


def test_a_mistyped_command_gets_a_proposal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["verif"])
    assert error.value.code == 2
    said = capsys.readouterr().err
    assert "no command 'verif' (did you mean 'verify'?); popscan --help lists them" in said
    assert "rca-references" not in said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("plan: {shard_size: four}", "plan.shard_size: expected a whole number; found 'four'"),
        ("simulate: {n_subjects: 4.5}", "simulate.n_subjects: expected a whole number; found 4.5"),
        ("qc: 5", "qc: expected a section: {key: value}; found 5"),
        ("fairness: {alpha: high}", "fairness.alpha: expected a number; found 'high'"),
        ("rca: {enabled: maybe}", "rca.enabled: expected true or false; found 'maybe'"),
        ("study: {name: 5}", "study.name: expected text; found 5"),
        ("fairness: {attributes: 3}", "fairness.attributes: expected a list: [a, b]; found 3"),
        ("qc: {thresholds: 3}", "qc.thresholds: expected a mapping: {key: value}; found 3"),
    ],
)  # fmt: skip
def test_kinds_of_values_are_named_in_plain_words(tmp_path: Path, keys: str, expected: str) -> None:
    path = tmp_path / "study.yaml"
    first = "" if keys.startswith("study") else "study: {name: a}\n"
    path.write_text(f"{first}source: {{kind: simulated}}\n{keys}\n")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert error.value.problems == [f"{path}: {expected}"]
