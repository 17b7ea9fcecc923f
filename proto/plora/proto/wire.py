"""A statement on the wire and back, for every place that speaks protobuf.

- Nothing is interpreted: payload bytes pass untouched, bounds are those of `Statement`.
"""

from __future__ import annotations

from plora.proto.errors import FormatError, ProtocolError
from plora.proto.statement import Statement
from plora.v1 import peer_pb2 as pb


def statement_to_pb(statement: Statement) -> pb.Statement:
    """A statement as it travels."""
    return pb.Statement(
        kind=str(statement.kind),
        payload=statement.payload,
        key_id=statement.key_id,
        algorithm=statement.algorithm,
        signature=statement.signature,
    )


def statement_from_pb(wire: pb.Statement) -> Statement:
    """A statement that came; `ProtocolError` when a field is out of bounds."""
    try:
        return Statement(wire.kind, wire.payload, wire.key_id, wire.algorithm, wire.signature)
    except FormatError as error:
        raise ProtocolError(f"a malformed statement: {error.what}") from error
