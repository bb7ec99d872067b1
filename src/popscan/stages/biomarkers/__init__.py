"""The stage biomarkers: labels to numbers with units and intervals."""
