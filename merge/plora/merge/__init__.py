"""Adapter algebra on low-rank factor pairs."""
