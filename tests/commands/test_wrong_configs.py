"""Configs as people get them wrong: the message names file, place, and what was expected."""

import re
from pathlib import Path

import pytest

from popscan.commands.check import check_study

GOOD = "study: {name: tiny}\nsource: {kind: bids, root: data}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study: {name: tiny\nsource: {kind: bids}\n", "line 2, column 7: not valid YAML: did not"),
        ("study:\n\tname: tiny\n", "line 2, column 1: not valid YAML: a tab; YAML is indented by"),
        (GOOD + "protocol: liver\n", "protocol 'liver': there is none"),
        ("study: {name: t, protocol: x}\n", "study.protocol: unknown key (it belongs beside"),
        ("study.name: x\n", "study.name: unknown key (write study: {name: ...}); expected one"),
        ("shard_size: 3\n", "shard_size: unknown key (it is a key of plan); expected one of"),
        (GOOD + "segment: {method: none}\n", "segment.method: no such method: 'none'; expected"),
        (GOOD + "segment: {model: none}\n", "segment.model: no bundle 'none'; expected a folder"),
        (GOOD + "reconstruct: {use: none}\n", "reconstruct.use: 'none' is no variant; expected"),
        (GOOD + "qc: {overrides: none.tsv}\n", "qc.overrides: none.tsv: no such file"),
        ("source: {kind: bids, root: a.yaml}\n", "source.root: 'a.yaml' is a file; a folder is"),
        ("source: {kind: bids, root: data, participants: data}\n",
         "source.participants: data: a folder; a file is expected"),
        (GOOD + "fairness: {attributes: [sxe]}\n", "fairness.attributes: 'sxe' is no column"),
    ],
)  # fmt: skip
def test_message_names_file_key_and_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "sub-01").mkdir(parents=True)
    (tmp_path / "data" / "participants.tsv").write_text("participant_id\tsex\nsub-01\tF\n")
    Path("a.yaml").write_text(text)
    problems, notes = check_study(Path("a.yaml"))
    assert any(line.startswith("a.yaml: ") and expected in line for line in problems), problems
    assert not re.search(r"(?<!of )\b1 subjects", " ".join([*problems, *notes]))


def test_a_folder_in_place_of_the_config_is_reported_as_one(tmp_path: Path) -> None:
    problems, _ = check_study(tmp_path)
    assert problems == [f"{tmp_path}: a folder; a file is expected"]
