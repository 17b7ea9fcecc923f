"""The error tree: every failure that a person can meet, with what happened, where, and how to mend it.

Rules:

- An exception is for what went wrong on *our* side of a call: input, files, network, a broken rule of the protocol.
  A verdict on somebody's plasmid is a value (`plora.gate.Verdict`), never an exception.
- `what` is one sentence without a full stop. `where` names a file, a field, a peer. `mend` is what to do: a command
  where there is one.
- `exit_code` is what the command line returns: 1 failed, 2 usage or configuration, 3 refused or held by the gate,
  4 peer not running.

>>> str(ConfigError("unknown field 'fanuot'", where="peer.yaml", mend="did you mean 'fanout'?"))
"peer.yaml: unknown field 'fanuot'; did you mean 'fanout'?"
"""

from __future__ import annotations


class PloraError(Exception):
    """Base of all errors that Plora raises on purpose."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(what)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.mend}" if self.mend else ""
        return f"{place}{self.what}{cure}"


class UsageError(PloraError):
    """The call itself is wrong: an argument, an option, a combination."""

    exit_code = 2


class ConfigError(PloraError):
    """A configuration file or setting is wrong."""

    exit_code = 2


class RefusedError(PloraError):
    """The gate refused or holds what was asked for."""

    exit_code = 3


class PeerNotRunningError(PloraError):
    """No peer answers on the admin socket."""

    exit_code = 4


class NoAnswerError(PloraError):
    """The running peer did not answer in time."""


class FormatError(PloraError):
    """Bytes or text are not what their format demands."""


class StatementError(FormatError):
    """A statement is malformed or not validly signed."""


class ManifestError(StatementError):
    """A manifest, in a statement or in a `plora.yml`, breaks its schema."""


class AdapterError(FormatError):
    """An adapter folder or its tensors can't be used."""


class KeyFileError(PloraError):
    """A key file is missing, unreadable, of the wrong kind, weak, or readable by others."""


class BaseModelError(PloraError):
    """A base model can't be found, loaded or is not the one that was meant."""


class LatencyError(PloraError):
    """Putting an adapter on a model, or taking it off, took longer than the budget; the model is as it was."""


class StoreError(PloraError):
    """The local store can't be opened, read or written."""


class StoreLockedError(StoreError):
    """Another daemon works on this home."""


class DiskFullError(StoreError):
    """The disk, or the quota that the configuration gives the store, is full."""


class SpoiltBytesError(StoreError):
    """Bytes on the disk are gone or no longer those that were examined; `where` is the digest they should have."""


class TransportError(PloraError):
    """A connection could not be made or was lost."""


class ProtocolError(PloraError):
    """The other side broke a rule of the wire protocol."""


class WorkerError(PloraError):
    """A worker process failed, was killed or ran over its limits."""
