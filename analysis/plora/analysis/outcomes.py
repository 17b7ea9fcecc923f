"""What a peer may think of an adapter, in the order in which logs, reports and figures number it."""

OUTCOMES = ("accepted", "held", "waiting", "rejected")
"""What a peer may think of an adapter: in use; kept apart; wanted, but something is missing; never."""
