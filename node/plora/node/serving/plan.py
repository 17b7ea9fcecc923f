"""What a model server should load and unload, from what it has and what the peer has accepted. Pure.

- Adapters are served as `ada/legal` and `merged/BASE`. The path is the folder of one version, which never changes: a
  new version is another path, so that nothing that the server computed with the old weights is used again.
- Only adapters of a base that the server serves, by the very name in `adapter_config.json`, are its business.
- An adapter whose folder lies in the peer's home is the peer's, whoever had it loaded and under whatever name: it goes
  when its folder is no longer what the peer exposes. Other people's adapters are left alone.
- Unloading comes first: what was withdrawn goes before anything is added.

>>> wanted = {"ada/legal": Adapter("/h/views/2", "m")}
>>> loaded = {"ada/legal": "/h/views/1", "bob/old": "/h/views/0", "theirs": "/elsewhere"}
>>> for step in plan(wanted, loaded, bases=("m",), home="/h"):
...     print(step)
Unload(name='ada/legal')
Unload(name='bob/old')
Load(name='ada/legal', path='/h/views/2')
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter to serve: the folder of this version, the base's name in it, and the link that leads there now."""

    path: str
    base: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Unload:
    """Take an adapter away."""

    name: str


@dataclass(frozen=True, slots=True)
class Load:
    """Add an adapter."""

    name: str
    path: str


Step = Unload | Load


def plan(
    wanted: Mapping[str, Adapter], loaded: Mapping[str, str], *, bases: Collection[str], home: str
) -> Iterator[Step]:
    """The steps from what is loaded (paths by name) to what is wanted on a server of these bases."""
    fitting = {name: adapter for name, adapter in sorted(wanted.items()) if adapter.base in bases}
    current = {place for adapter in fitting.values() for place in (adapter.path, adapter.link)}
    going = [
        name
        for name, path in sorted(loaded.items())
        if path.startswith(f"{home}/") and (path != fitting[name].path if name in fitting else path not in current)
    ]
    yield from map(Unload, going)
    yield from (Load(name, one.path) for name, one in fitting.items() if name not in loaded or name in going)
