"""Identity, TLS and streams between peers."""
