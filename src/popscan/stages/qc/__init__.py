"""The stage qc: image and segmentation checks, and their verdict."""
