"""What a run shows: lines and a status, the closing table, and the reports for CI systems."""
