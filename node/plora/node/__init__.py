"""The peer: pure cores, and the driver that carries out what they ask."""
