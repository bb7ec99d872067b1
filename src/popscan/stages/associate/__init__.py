"""The stage associate: regressions and reference ranges."""
