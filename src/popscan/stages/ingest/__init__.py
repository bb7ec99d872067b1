"""The stage ingest: raw scans of any source to one checked 4D scan per view."""
