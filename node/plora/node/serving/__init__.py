"""Model servers that run beside a peer: which adapters they should have, and how they are given them."""
