"""What crosses the border of the pure core: time, chance, messages, events, effects."""
