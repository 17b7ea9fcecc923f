"""The command plora."""
