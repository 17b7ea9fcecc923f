"""vLLM's rules for adapters, as its documentation and its answers have them, and a server that keeps to them.

`tests/vllm` compares them with a real vLLM. `refusal` is about an adapter's folder, the server about names.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MAX_RANK_DEFAULT = 16
NEUTRAL: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    "use_dora": (False,),
    "lora_bias": (False,),
    "modules_to_save": (None, []),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
    "alora_invocation_tokens": (None, []),
    "layer_replication": (None, []),
    "use_qalora": (False,),
}
"""Values of adapter_config.json that vLLM takes, for keys that change what an adapter means."""


def refusal(folder: Path, base: str = "", max_rank: int = MAX_RANK_DEFAULT) -> str:
    """Why vLLM would not load a folder; empty if it would. Its resolvers also compare the base with `--model`."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
    except OSError:
        return "no adapter_config.json"
    for key in ("r", "lora_alpha", "target_modules"):
        if key not in config:
            return f"no {key}"
    if config.get("peft_type") != "LORA":
        return "no LoRA"
    if base and config.get("base_model_name_or_path") != base:
        return "another base"
    for key, values in NEUTRAL.items():
        if key in config and not any(config[key] == value for value in values):
            return f"{key} = {config[key]}"
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return f"rank {rank} is over {max_rank}" if rank > max_rank else ""


class VllmStandIn:
    """Answers as vLLM does. `down` makes it close connections, `requests` is what it was asked to change."""

    def __init__(self, base: str, key: str = "") -> None:
        self.base = base
        self.key = key
        self.adapters: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.down = False
        self.runtime_updating = True
        self.changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def until(self, look: Callable[[], object], within_s: float = 20.0) -> None:
        """Wait for what is looked for; asked again after each request."""
        with self.changed:
            assert self.changed.wait_for(look, within_s), (self.adapters, self.requests)

    @contextmanager
    def running(self) -> Iterator[VllmStandIn]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, path: str, document: dict[str, Any]) -> tuple[int, object]:
        name = document.get("lora_name", "")
        if path == "/v1/models":
            cards = [{"id": name, "root": root, "parent": self.base} for name, root in self.adapters.items()]
            return 200, {"data": [{"id": self.base, "root": self.base, "parent": None}, *cards]}
        self.requests.append((path.rpartition("/")[2].removesuffix("_lora_adapter"), name))
        if not self.runtime_updating:
            return 404, {"detail": "Not Found"}
        if path == "/v1/unload_lora_adapter":
            return (200, "ok") if self.adapters.pop(name, None) else _error(404, f"'{name}' cannot be found")
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        said = refusal(Path(document["lora_path"]))
        if said:
            return _error(500, said)
        self.adapters[name] = document["lora_path"]
        return 200, "ok"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._respond({})

            def do_POST(self) -> None:
                self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _respond(self, document: dict[str, Any]) -> None:
                with stand_in.changed:
                    status, answer = stand_in.answer(self.path, document)
                    if stand_in.key and self.headers["Authorization"] != f"Bearer {stand_in.key}":
                        status, answer = 401, {"error": "Unauthorized"}
                    stand_in.changed.notify_all()
                if stand_in.down:
                    self.close_connection = True
                    return
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        return Handler


def _error(status: int, message: str) -> tuple[int, object]:
    return status, {"error": {"message": message, "type": "x", "code": status}}


SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(--[A-Za-z0-9._-]+)*")
"""Names of folders that a request for a model can't leave the folder by."""
