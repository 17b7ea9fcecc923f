"""The long-running peer: plora-node."""

import gc


def main() -> None:
    """Entry point of `plora-node`; what it needs is imported when it runs."""
    gc.disable()  # what is imported stays: to look through it again and again took a tenth of a start
    from plora.node.daemon.main import main as run

    gc.enable()
    run()
