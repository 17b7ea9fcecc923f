"""The fixtures of the command line's tests."""

from tests.cli.conftest import _prepared, plora, world  # noqa: F401 - fixtures
