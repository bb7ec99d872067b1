"""Experiments: trainings on purposely unbalanced data, as jobs."""
