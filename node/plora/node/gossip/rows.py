"""The rows that gossip keeps: one per live statement.

- Table `statements`: key = statement id (32 bytes), value = hops (2 bytes, big-endian) ‖ envelope (JSON, UTF-8).

>>> from plora.proto.statement import Statement
>>> statement = Statement("x", b"{}", "ab" * 32, "Ed25519", b"s")
>>> row = statement_row(statement, hops=3)
>>> decode_statement(row.key, row.value) == (statement, 3)
True
"""

from __future__ import annotations

from collections.abc import Callable

from plora.node.store.disk import Delete, Put
from plora.proto.errors import FormatError, StoreError
from plora.proto.statement import Statement, statement_from_json, statement_to_json

STATEMENTS = "statements"
HOPS_MAX = 0xFFFF

_HOPS_BYTES = 2

RowOf = Callable[[Statement, int], Put]
"""`statement_row`, or a memo of it."""


def statement_row(statement: Statement, hops: int) -> Put:
    """The row of a live statement that crossed `hops` links."""
    counted = min(hops, HOPS_MAX).to_bytes(_HOPS_BYTES, "big")
    return Put(STATEMENTS, statement.id, counted + statement_to_json(statement).encode("utf-8"))


def forget_statement(statement: Statement) -> Delete:
    """Removes the row of a statement that is no longer live."""
    return Delete(STATEMENTS, statement.id)


def decode_statement(key: bytes, value: bytes) -> tuple[Statement, int]:
    """The statement in a row and its hops; `StoreError` when the row isn't what `statement_row` writes."""
    try:
        statement = statement_from_json(value[_HOPS_BYTES:].decode("utf-8"))
    except (FormatError, UnicodeDecodeError) as error:
        raise StoreError("a statement can't be read", where="state.db: statements") from error
    if statement.id != key:
        raise StoreError("a statement lies under another id", where="state.db: statements")
    return statement, int.from_bytes(value[:_HOPS_BYTES], "big")
