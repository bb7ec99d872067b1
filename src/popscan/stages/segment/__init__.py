"""The stage segment: images to labels and uncertainty."""
