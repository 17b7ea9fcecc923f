"""Whether the far end of a link is within one's own network: the limits on rates may leave such links out. Pure.

What counts is where packets come from, as the own machine's network says, never what a peer tells about itself.

>>> is_near("192.168.1.7"), is_near("::1"), is_near("fe80::1%eth0"), is_near("nas.local")
(True, True, True, True)
>>> is_near("8.8.8.8"), is_near("example.org"), is_near("")
(False, False, False)
"""

from __future__ import annotations

import ipaddress

NEAR = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)
"""Private use (RFC 1918, RFC 4193), link-local and loopback."""


def is_near(host: str) -> bool:
    """Whether a host is in one of the `NEAR` networks; of names, those that never leave the own network (RFC 6762)."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".local")
    plain = getattr(found, "ipv4_mapped", None) or found
    return any(plain in network for network in NEAR)
