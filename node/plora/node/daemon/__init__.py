"""The long-running peer: plora-node."""


def main() -> None:
    """Entry point of `plora-node`; what it needs is imported when it runs."""
    from plora.node.daemon.main import main as run

    run()
