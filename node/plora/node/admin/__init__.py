"""The admin service of a running peer on its Unix socket, and the client that the command line uses."""
