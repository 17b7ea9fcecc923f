"""Event logs and results to figures and numbers."""
