"""The stage plan: the study's subjects and their shards."""
