"""Moving an artifact chunk by chunk, pure."""
