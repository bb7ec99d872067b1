"""Population imaging studies: raw scans to biomarkers, atlases and a fairness audit."""

__version__ = "0.1.0"
