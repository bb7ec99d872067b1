"""Segmentation of short-axis cines: images to labels and uncertainty.

Examples
--------
>>> bundle = load_bundle("resources/models/cine_sax", "cpu")  # doctest: +SKIP
>>> segment(scan, bundle=bundle).labels.shape == scan.array.shape  # doctest: +SKIP
True
"""
