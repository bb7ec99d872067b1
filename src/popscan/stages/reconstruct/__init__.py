"""The stage reconstruct: k-space to images."""
