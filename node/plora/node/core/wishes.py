"""What the person at this peer wishes for single contents: kept whatever happens, or gone and not fetched again. Pure.

- A wish outlasts the live set and every restart, since it stands in a row of its own: table `wishes`, by content id.
- Bytes are kept by a pin, and by having been published here: a clock that jumps forward makes manifests expire, and
  must not delete what nobody else may have. Such a wish (`own`) is written when the manifest leaves for its age.
- `removed` ends with the next request for that content. A newer version is another content.
- `released`: a person let it out of quarantine; it ends where they remove it.

>>> wish = Wish("ab" * 32, "ada/legal@1", "cd" * 32, 10, pinned=True)
>>> read_wish(bytes.fromhex(wish.content_id), wish_row(wish).value) == wish
True
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from plora.node.core.plasmid import Plasmid
from plora.node.store.disk import Delete, Put, RowOp
from plora.proto.errors import StoreError

WISHES = "wishes"


@dataclass(frozen=True, slots=True)
class Wish:
    """One content's wishes. `name`, `digest` and `size_bytes` describe it when its manifest is gone.

    `gone`: why the manifest left the live set, empty while it is there.
    """

    content_id: str
    name: str
    digest: str
    size_bytes: int
    pinned: bool = False
    removed: bool = False
    own: bool = False
    gone: str = ""
    released: bool = False

    @property
    def keeps(self) -> bool:
        """Whether the bytes must stay."""
        return self.pinned or self.own

    @property
    def idle(self) -> bool:
        """Whether it says nothing any more."""
        return not (self.pinned or self.removed or self.own or self.released)


class Wishes:
    """All wishes of one peer; changes come back as rows to write."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        self._wishes: dict[bytes, Wish] = {}
        self._keeping: dict[str, dict[bytes, None]] = {}
        for key, value in rows:
            self._take(key, read_wish(key, value))

    def get(self, content_id: bytes) -> Wish | None:
        """The wish for a content."""
        return self._wishes.get(content_id)

    def pinned(self, content_id: bytes) -> bool:
        """Whether a person wants it kept."""
        wish = self._wishes.get(content_id)
        return wish is not None and wish.pinned

    def removed(self, content_id: bytes) -> bool:
        """Whether a person wanted it gone, and hasn't asked for it since."""
        wish = self._wishes.get(content_id)
        return wish is not None and wish.removed

    def released(self, content_id: bytes) -> bool:
        """Whether a person let it out of quarantine."""
        wish = self._wishes.get(content_id)
        return wish is not None and wish.released

    def kept(self, digest: str) -> bool:
        """Whether some wish has these bytes stay."""
        return digest in self._keeping

    def departed(self) -> list[Wish]:
        """Those whose manifest is gone and whose bytes are kept."""
        return [wish for wish in self._wishes.values() if wish.gone and wish.keeps]

    def pin(self, plasmid: Plasmid, name: str, pinned: bool) -> list[RowOp]:
        """Keep a content, or no longer."""
        return self._put(plasmid.content_id, replace(self._of(plasmid, name), pinned=pinned, removed=False))

    def release(self, plasmid: Plasmid, name: str) -> list[RowOp]:
        """Let out of quarantine."""
        return self._put(plasmid.content_id, replace(self._of(plasmid, name), released=True, removed=False))

    def remove(self, plasmid: Plasmid, name: str) -> list[RowOp]:
        """Not to be fetched again."""
        wish = replace(self._of(plasmid, name), pinned=False, removed=True, released=False)
        return self._put(plasmid.content_id, wish)

    def ask(self, content_id: bytes) -> list[RowOp]:
        """A person asks for it: a removal is over."""
        wish = self._wishes.get(content_id)
        return self._put(content_id, replace(wish, removed=False)) if wish is not None and wish.removed else []

    def arrive(self, content_id: bytes) -> list[RowOp]:
        """Its manifest is live (again)."""
        wish = self._wishes.get(content_id)
        return self._put(content_id, replace(wish, gone="", own=False)) if wish is not None and wish.gone else []

    def depart(self, plasmid: Plasmid, name: str, reason: str) -> list[RowOp]:
        """Its manifest left the live set."""
        own = plasmid.own and reason == "expired"
        wish = replace(self._of(plasmid, name), own=own, gone=reason)
        known = plasmid.content_id in self._wishes
        return self._put(plasmid.content_id, wish) if known or own else []

    def again(self, content_id: bytes) -> list[RowOp]:
        """What is wished for a content, once more."""
        wish = self._wishes.get(content_id)
        return [wish_row(wish)] if wish is not None else []

    def unpin(self, content_id: bytes) -> list[RowOp]:
        """No longer pinned, though the manifest is gone: bytes of one's own stay, others may go."""
        wish = self._wishes[content_id]
        return self._put(content_id, replace(wish, pinned=False)) if wish.own else self.forget(content_id)

    def forget(self, content_id: bytes) -> list[RowOp]:
        """Nothing is wished any more for a content whose manifest is gone."""
        if content_id not in self._wishes:
            return []
        self._let_go(content_id, self._wishes.pop(content_id))
        return [Delete(WISHES, content_id)]

    def _of(self, plasmid: Plasmid, name: str) -> Wish:
        known = self._wishes.get(plasmid.content_id)
        size_bytes = plasmid.artifact.size_bytes
        return known or Wish(plasmid.content_id.hex(), name, plasmid.digest, size_bytes)

    def _put(self, content_id: bytes, wish: Wish) -> list[RowOp]:
        if wish.idle:
            return self.forget(content_id)
        self._take(content_id, wish)
        return [wish_row(wish)]

    def _take(self, content_id: bytes, wish: Wish) -> None:
        if content_id in self._wishes:
            self._let_go(content_id, self._wishes[content_id])
        self._wishes[content_id] = wish
        if wish.keeps:
            self._keeping.setdefault(wish.digest, {})[content_id] = None

    def _let_go(self, content_id: bytes, wish: Wish) -> None:
        keepers = self._keeping.get(wish.digest, {})
        keepers.pop(content_id, None)
        if not keepers:
            self._keeping.pop(wish.digest, None)


def wish_row(wish: Wish) -> Put:
    """The row of a wish."""
    fields = asdict(wish)
    key = bytes.fromhex(fields.pop("content_id"))
    return Put(WISHES, key, json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def read_wish(key: bytes, value: bytes) -> Wish:
    """Read a row of `wishes`; `StoreError` when it is not what `wish_row` writes."""
    try:
        return Wish(content_id=key.hex(), **json.loads(value))
    except (TypeError, ValueError) as error:
        raise StoreError("a wish can't be read", where=f"state.db: {WISHES}") from error
