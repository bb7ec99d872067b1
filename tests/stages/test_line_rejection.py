"""Lines of k-space in the wrong phase: in the audit, and in the report."""

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.outcomes import outcomes_table
from popscan.stages.reconstruct import report

UNITS = ["sub-1", "sub-2", "sub-3", "sub-4"]
TABLE = pd.DataFrame(
    {
        "unit": UNITS, "variant": "cs_tv", "lines_found_pct": [0.0, 12.5, 4.0, np.nan],
        "lines_found_worst_pct": [0.0, 25.0, 12.5, np.nan], "lines_left_out": [0, 64, 20, 0],
        "lines_judged_by": ["shots"] * 3 + ["fewer than 4 coils"],
    }
)  # fmt: skip


def test_the_audit_compares_who_has_more_lines_in_the_wrong_phase():
    found = outcomes_table(line_rejection=TABLE)
    rows = found[found["outcome"] == "lines_found_pct"].set_index("unit")
    assert rows.loc["sub-2", "value"] == 12.5
    assert set(rows["better_is"]) == {"lower"}
    assert set(rows["kind"]) == {"continuous"}
    assert outcomes_table(line_rejection=TABLE.iloc[:0]).empty


@pytest.fixture
def section(monkeypatch, tmp_path):
    """Return the report's section of a table."""

    def made(table):
        class Known:
            attributes = pd.DataFrame({"sex": ["female", "male", "male", "male"]}, index=UNITS)

        monkeypatch.setattr(report.Study, "of_tables", lambda *_: Known())
        monkeypatch.setattr(report, "rejections", lambda _: table)
        return report.rejection_section(tmp_path, {})

    return made


def test_the_report_says_how_many_lines_were_left_out_and_whose(section):
    extra = section(TABLE)
    assert "3 of 4 scans could be judged; 2 of them have lines" in extra.sentences[0]
    assert "were left out" in extra.sentences[1]
    rows = extra.tables[0][1].set_index("Group")
    assert rows.loc["male", "Scans with such lines"] == 2
    assert rows.loc["female", "Lines, mean (%)"] == 0
    assert "No line was left out" in section(TABLE.assign(lines_left_out=0)).sentences[1]
    assert section(TABLE.iloc[:0]) is None
