"""Training of models of long-axis planes, on images that are made, not labelled."""
