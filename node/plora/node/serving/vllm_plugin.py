"""vLLM's side: a resolver that asks the local peer for `ada/legal`, loaded by vLLM from the group vllm.general_plugins.

- Install Plora into vLLM's environment, and start vLLM with `--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and,
  where the peer's home is not the usual one, PLORA_HOME. A request for model `ada/legal`, `ada/legal@3` or `merged`
  then loads what the peer has accepted under that name.
- vLLM gets the folder of one version. It asks once for a name: `serving.vllm` has the peer unload what it replaced.
- A peer that doesn't run, refuses the name, or has it for another base than vLLM's: vLLM answers "not found".
- vLLM runs plugins in all its processes: nothing is imported before a name is asked for, and grpc is used as it is,
  since this is somebody else's process.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

ASK_TIMEOUT_S = 10.0
_log = logging.getLogger("plora")


class PeerResolver:
    """A resolver as vLLM's registry takes it (`vllm.lora.resolver.LoRAResolver`), for the peer of a home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> Any:
        """The LoRARequest for a name; None where the peer has nothing for it on this base."""
        from vllm.lora.request import LoRARequest

        found = await self._ask(lora_name)
        if found is None:
            return None
        if found.base_model != base_model_name:
            _log.warning("%s is for the base %s, not %s", found.name, found.base_model, base_model_name)
            return None
        return LoRARequest(lora_name=lora_name, lora_int_id=_number_of(found.target), lora_path=found.target)

    async def _ask(self, name: str) -> Any:
        import grpc.aio

        from plora.proto.home import Home
        from plora.v1 import admin_pb2, admin_pb2_grpc

        async with grpc.aio.insecure_channel(f"unix:{Home(self._home).admin_socket.resolve()}") as channel:
            stub = admin_pb2_grpc.AdminStub(channel)  # type: ignore[no-untyped-call]
            try:
                return await stub.Locate(admin_pb2.LocateRequest(name=name), timeout=ASK_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                _log.warning("the peer of %s has no adapter for %r: %s", self._home, name, error.details())
                return None


def register() -> None:
    """Entry point: give vLLM the resolver."""
    from vllm.lora.resolver import LoRAResolverRegistry

    from plora.proto.home import default_home

    LoRAResolverRegistry.register_resolver("plora", PeerResolver(default_home()))


def _number_of(target: str) -> int:
    """vLLM wants a positive number that is an adapter's own; newer ones replace it by their own count."""
    return int.from_bytes(hashlib.sha256(target.encode()).digest()[:7], "big") + 1
