"""What is wrong with a peer, and how each of it is mended: `plora doctor`."""
