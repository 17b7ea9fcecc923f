"""The fleet: a vectorised model of a swarm, for sizes at which real cores are too many."""
