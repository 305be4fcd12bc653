"""The store: one row a run. Tasks, rows, journal, status, cost and export."""
