"""The stage collect: manifests to the study's tables."""
