"""Peers on the local network, by multicast DNS (RFC 6762, 6763): shown, never trusted and never dialed.

Rules:

- Said is only what whoever sees the packets on the wire could see anyway: peer id, port, addresses of this host. No
  name of owner or swarm, nothing secret. A peer that only dials out (`dialable: false`) says nothing and listens.
- Where `listen` names a host, only that host's interface is used; so a peer on 127.0.0.1 stays on this machine.
- Heard is what anybody on the network may say: at most `FOUND_MAX` peers, well-formed ids, IP literals as addresses,
  none nearer than the network, never this peer itself. What was said good-bye to, or ran out, goes.
- Needs the extra `lan` (zeroconf). Off by default: `discovery.lan`.

Not handled here: dialing whom is found; a person does that by `plora peers add`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from plora.node.gossip.addresses import Scope, plain, reaches, scope_of, seen_scope
from plora.proto.canonical import is_hex_digest
from plora.proto.errors import ConfigError, TransportError
from plora.proto.host_port import join, split

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_plora._tcp.local."
FOUND_MAX = 256
ASKING_MAX = 16
ADDRESSES_MAX = 4
ANSWER_MS = 3_000
NAME_DIGITS = 32
"""A label of the DNS has at most 63 bytes, a peer id 64 digits: the whole id stands in the TXT record."""


@dataclass(frozen=True, slots=True)
class LanPeer:
    """A peer that somebody on the local network says is there."""

    peer: str
    addresses: tuple[str, ...]


class Lan:
    """Says that this peer is here, and keeps who else says so. `on_full` is called once when there are too many."""

    def __init__(self, peer: str, listen: str, port: int, *, dialable: bool, on_full: Callable[[], None]) -> None:
        self.found: dict[str, LanPeer] = {}
        self._peer = peer
        self._host = (split(listen, listening=True) or ("0.0.0.0", 0))[0]  # noqa: S104 - compared, not bound
        self._port = port
        self._dialable = dialable
        self._on_full = on_full
        self._full = False
        self._names: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: Any = None

    async def start(self) -> None:
        """Open the sockets. Raises ConfigError without the extra, TransportError where the network lets nobody."""
        try:
            from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf
        except ImportError as error:
            mend = "install it by `pip install 'plora[lan]'`, or set `discovery.lan: false`"
            raise ConfigError("the LAN can't be searched without zeroconf", where="discovery.lan", mend=mend) from error
        try:
            self._zeroconf = AsyncZeroconf(**self._interfaces())
        except OSError as error:
            mend = "see whether that address is this machine's, or set `discovery.lan: false`"
            raise TransportError(f"multicast isn't possible ({error})", where="discovery.lan", mend=mend) from error
        if self._dialable:
            await self._zeroconf.async_register_service(self._own_info(), cooperating_responders=True)
        handlers = [self._changed]
        self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=handlers)

    async def stop(self) -> None:
        """Say good-bye and close the sockets."""
        for task in list(self._asking.values()):
            task.cancel()
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()

    def _interfaces(self) -> dict[str, Any]:
        """The interfaces to use, as zeroconf takes them: that of `listen`, or all."""
        return {"interfaces": [self._host]} if scope_of(self._host) is not None else {}

    def _own_info(self) -> AsyncServiceInfo:
        from zeroconf.asyncio import AsyncServiceInfo

        return AsyncServiceInfo(
            SERVICE,
            f"{self._peer[:NAME_DIGITS]}.{SERVICE}",
            port=self._port,
            properties={"peer": self._peer},
            server=f"plora-{self._peer[:NAME_DIGITS]}.local.",
            parsed_addresses=own_hosts(self._host),
        )

    def _changed(self, zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        """The browser's news; on the event loop."""
        if state_change.name == "Removed":
            self.found.pop(self._names.pop(name, ""), None)
        elif name not in self._asking and len(self._asking) < ASKING_MAX:
            task = asyncio.ensure_future(self._ask(zeroconf, service_type, name))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name, None))

    async def _ask(self, zeroconf: Any, service_type: str, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(service_type, name)
        if await info.async_request(zeroconf, ANSWER_MS):
            self.take(name, info.properties.get(b"peer"), info.port or 0, info.parsed_addresses())

    def take(self, name: str, peer: bytes | None, port: int, hosts: list[str]) -> None:
        """Keep what somebody said, if it is well formed."""
        said = (peer or b"").decode("ascii", "replace")
        addresses = tuple(one for one in map(plain, (join(host, port) for host in hosts)) if one)
        nearest = min(Scope.NETWORK, seen_scope(self._host))
        near = tuple(one for one in dict.fromkeys(addresses) if reaches(one, nearest))[:ADDRESSES_MAX]
        if not is_hex_digest(said) or said == self._peer or not near or name != f"{said[:NAME_DIGITS]}.{SERVICE}":
            return
        if said not in self.found and len(self.found) >= FOUND_MAX:
            if not self._full:
                self._full = True
                self._on_full()
            return
        self._names[name] = said
        self.found[said] = LanPeer(said, near)


def own_hosts(host: str) -> list[str]:
    """The addresses of this host that others on its network can dial: `host` itself, or of all interfaces."""
    if scope_of(host) is not None:
        return [host]
    import ifaddr

    ips = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for one in ifaddr.get_adapters() for ip in one.ips]
    return [ip for ip in dict.fromkeys(ips) if scope_of(ip) is not None and not ip_address(ip).is_loopback]
