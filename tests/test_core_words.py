"""The core knows no organ: which files still hold words of one, and why. The list only shrinks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "popscan"
#: What every protocol goes through. Not here: readers of files (io), who know how scanners and data
#: sets name things, and the commands, which write the reference of the first protocol.
CORE = (
    "records.py", "protocol.py", "protocol_parts.py", "protocol_words.py", "registry.py",
    "protocol_beside.py",
    "journal.py", "jsontext.py", "task.py", "outputs.py", "cells.py", "methods.py", "plan.py",
    "store.py", "run.py", "worker.py", "standing.py", "names.py", "inventory.py", "lock.py",
    "yamlfile.py", "withdrawn.py", "stages/**/*.py", "study/*.py", "fairness/*.py", "stats/*.py",
    "associate/*.py", "report/**/*.py", "arrays/*.py", "config/*.py", "atlas/*.py", "qc/*.py",
    "register/*.py", "rca/*.py", "spaces.py", "recon/*.py", "biomarkers/*.py", "ingest/*.py",
    "segment/*.py", "train/*.py", "visibility/*.py", "sorting/*.py",
)  # fmt: skip
WORDS = re.compile(
    r"(?<![A-Za-z])(?:sax|lax|lv|rv|lvef|lvedv|lvesv|lvm|rvedv|rvef|myo|myocardi\w*|ventric\w*"
    r"|cine\w*|heart\w*|cardiac|diastol\w*|systol\w*|ed|es|apex|septum|epicard\w*"
    r"|endocard\w*)(?![A-Za-z])",
    re.IGNORECASE,
)
SOURCE_NAME = "heart, a name of the source 'organ' in configs and tables that exist"
EXCEPTIONS = {
    "records.py": "default view of a scan made in memory",
    "config/analyses.py": SOURCE_NAME,
    "visibility/__init__.py": SOURCE_NAME,
    "visibility/tables.py": SOURCE_NAME,
    "segment/expected.py": "heart_dice, name of a stored coefficient",
    "ingest/checks.py": "heart_rate_bpm, a technical tag that may be kept",
}


@pytest.fixture(scope="module")
def words() -> dict[str, list[str]]:
    paths = sorted({path for pattern in CORE for path in SOURCE.glob(pattern)})
    assert len(paths) > 150
    return {
        str(path.relative_to(SOURCE)): sorted(
            {word.lower() for word in WORDS.findall(path.read_text(encoding="utf-8"))}
        )
        for path in paths
    }


def test_no_file_of_the_core_learns_a_word_of_an_organ(words):
    new = {name: found for name, found in words.items() if found and name not in EXCEPTIONS}
    assert new == {}


def test_a_file_that_lost_its_words_is_no_exception_any_more(words):
    assert [name for name in EXCEPTIONS if not words.get(name)] == []
