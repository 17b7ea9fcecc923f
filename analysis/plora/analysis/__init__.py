"""Event logs and results to figures and numbers; what theory expects of them."""
