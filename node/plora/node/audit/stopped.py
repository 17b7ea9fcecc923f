"""The store of a peer that isn't running, for those who look into it from outside: its lock keeps the peer away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.proto.errors import StoreError
from plora.proto.home import Home

STATE = "state.db"


@contextmanager
def stopped_store(home: Home) -> Iterator[Store]:
    """The store. StoreLockedError while its peer runs, StoreError where there is none yet or it is damaged."""
    if not (home.root / STATE).is_file():
        mend = "start it once by `plora up`"
        raise StoreError("this peer never ran, so it has decided nothing", where=str(home.root), mend=mend)
    with closing(RealDisk(home.root)) as disk:
        yield Store(disk)
