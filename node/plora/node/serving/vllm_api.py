"""vLLM's REST endpoints for adapters, blocking: what it serves, load, unload.

- The URL is the person's own, fixed in peer.yaml. Plain HTTP goes to this machine only. Redirects are not followed and
  proxies not asked; answers are read up to a bound.
- Every failure is a TransportError whose sentence says what the server answered.

Tried with vLLM 0.32. It wants `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from plora.proto.errors import TransportError

ANSWER_BYTES_MAX = 4 << 20
TIMEOUT_S = 60.0
SAID_CHARACTERS_MAX = 300

_MENDS = {
    (404, "Not Found"): "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
    (401, "Unauthorized"): "set serving.vllm.key_file",
}
"""For what vLLM answers by status and words."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server has: the names of its base models as given to `--model`, and paths of adapters by name."""

    bases: tuple[str, ...]
    adapters: dict[str, str]


class VllmApi:
    """One server. `key` is its `--api-key`, where it has one."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self._place = urlsplit(url)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def served(self) -> Served:
        """Ask what is served."""
        answer = self._call("GET", "/v1/models")
        try:
            cards = json.loads(answer)["data"]
            bases = tuple(str(card["root"]) for card in cards if card["parent"] is None)
            adapters = {str(card["id"]): str(card["root"]) for card in cards if card["parent"] is not None}
        except (ValueError, KeyError, TypeError) as error:
            raise TransportError("answered no list of models", where=self.url, mend="is it vLLM?") from error
        return Served(bases, adapters)

    def load(self, name: str, path: str) -> None:
        """Add an adapter."""
        self._call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload(self, name: str) -> None:
        """Take an adapter away."""
        self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> bytes:
        secure = self._place.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._place.netloc, timeout=TIMEOUT_S)
        body = None if document is None else json.dumps(document).encode()
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f"can't be reached ({error or type(error).__name__})", where=self.url) from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK or len(answer) > ANSWER_BYTES_MAX:
            said = _said(answer)
            mend = _MENDS.get((response.status, said), "")
            raise TransportError(f"answered {response.status}: {said}", where=self.url, mend=mend)
        return answer


def _said(answer: bytes) -> str:
    """The message in an error's body."""
    try:
        document = json.loads(answer)
        error = document.get("error") or document.get("detail")
        text = error.get("message") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = answer.decode("utf-8", "replace")
    return " ".join(str(text).split())[:SAID_CHARACTERS_MAX]
