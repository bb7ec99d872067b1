"""What people type: check, status, rerun, verify, estimate, audit, train; one module each."""
