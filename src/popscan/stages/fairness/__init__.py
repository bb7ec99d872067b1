"""The stage fairness: every stage's outcome by group."""
