"""The store: one row a run. Plan, tasks, rows, journal, status, cost and export."""
