"""The stage score: segmentation and reconstruction against references."""
