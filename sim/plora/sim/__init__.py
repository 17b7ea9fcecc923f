"""The shipped peer cores on a virtual clock, simulated links and a simulated disk."""
