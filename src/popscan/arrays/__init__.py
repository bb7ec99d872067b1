"""Pure functions on arrays: no files, no stages, no state."""
