"""Base models: loading, digest and scoring of text."""
