"""The gate: a plasmid in, a verdict out."""
