"""What jobs are given: files named by their content, written once jobs are to run."""

from __future__ import annotations

import json

import pytest

from popscan.cli.main import parser
from popscan.given import GivenFiles, read_given
from popscan.records import PopscanError
from popscan.stages import SUBJECT_STAGES


def test_a_file_is_named_by_its_content_and_written_once_jobs_run(tmp_path):
    files = GivenFiles(tmp_path / "params")
    first = files.file({"b": 1, "a": [1, 2]})
    assert first == files.file({"a": [1, 2], "b": 1}) != files.file({"a": [1], "b": 1})
    assert not (tmp_path / "params").exists()
    files.write()
    later = files.file({"c": 1})
    assert [read_given(path) for path in (first, later)] == [{"a": [1, 2], "b": 1}, {"c": 1}]
    assert len(list((tmp_path / "params").iterdir())) == 3
    ordered = files.file({"b": 1, "a": [1, 2]}, in_order=True)
    assert list(read_given(ordered)) == ["b", "a"]


def test_a_command_takes_json_or_its_file(tmp_path):
    path = tmp_path / "given.json"
    path.write_text(json.dumps({"version": "1"}))
    for text in (str(path), '{"version": "1"}'):
        arguments = ["stage", "qc", "--study", "s", "--shard", "00000", "--options", text]
        assert parser().parse_args(arguments).options == {"version": "1"}


@pytest.mark.parametrize("text", ["nowhere.json", "{", "[1]"])
def test_neither_json_nor_a_file_of_it_is_refused(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[1]").write_text("[1]")
    with pytest.raises(PopscanError):
        read_given(text)
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["collect", "--study", "s", "--options", text])
    assert stopped.value.code == 2
    assert "JSON" in capsys.readouterr().err


def test_help_lists_what_people_type():
    listed = parser().format_help()
    assert "rerun" in listed
    # `popscan qc tune` is typed; the stage qc is `popscan stage qc`.
    stages = [name for name in SUBJECT_STAGES if name != "qc"]
    for hidden in ("stage ", "atlas-map", "experiment-trial", "collect", *stages):
        assert f"\n    {hidden}" not in listed
