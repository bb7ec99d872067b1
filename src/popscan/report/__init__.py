"""Report: one offline HTML page of a study, and a page per flagged subject.

`StudyContext` holds everything that is shown; `render_study` writes it. The report computes
descriptive numbers only; tests and intervals come from associate and fairness.
"""

from popscan.report.context import Extra, FlaggedSubject, StudyContext
from popscan.report.pages import render_study

__all__ = ["Extra", "FlaggedSubject", "StudyContext", "render_study"]
