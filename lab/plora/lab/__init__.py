"""Making and measuring adapters."""
