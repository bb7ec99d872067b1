"""The stage report: the study's page, its subjects' pages, and what may be shared."""
