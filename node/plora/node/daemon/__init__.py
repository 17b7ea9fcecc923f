"""The long-running peer: plora-node."""
