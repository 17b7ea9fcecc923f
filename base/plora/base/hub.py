"""Bringing a base from the hub: pinned, safetensors only, with one clear line for each way it can fail.

Rules:

- Only weights as safetensors and the tokenizer's and configuration's data files are fetched; code never is.
- The token is `HF_TOKEN`; `HF_HUB_OFFLINE` is honoured by huggingface_hub itself.
- The folder that comes back is named by its commit, so `main` is pinned from then on.
- Failures become BaseModelError: 401 and gated 403 ask for a token and the licence, 404 names model or revision, 5xx
  says that it is the hub's fault, off line and not in the cache says how to fetch it beforehand.

Not handled here: mirrors other than `HF_ENDPOINT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from plora.base.registry import BaseSpec
from plora.proto.errors import BaseModelError

SERVER_ERROR = 500
FILES_WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*config.json",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "*.jinja",
)


def fetch_base(spec: BaseSpec, environ: Mapping[str, str]) -> BaseSpec:
    """Fetch `spec` (or find it in the hub's cache) and return it with its folder and its commit as revision.

    Raises:
        BaseModelError: with what to do.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise BaseModelError(
            "fetching from the hub needs the extra 'lab'", where=spec.name, mend="pip install 'plora[lab]'"
        ) from error
    api = HfApi(endpoint=environ.get("HF_ENDPOINT") or None, token=environ.get("HF_TOKEN") or None)
    cache = environ.get("HF_HUB_CACHE") or None
    try:
        found = api.snapshot_download(
            spec.name, revision=spec.revision, allow_patterns=list(FILES_WANTED), cache_dir=cache
        )
    except Exception as error:
        raise explain(error, spec) from error
    folder = Path(str(found))
    return replace(spec, folder=folder, revision=folder.name)


def explain(error: Exception, spec: BaseSpec) -> BaseModelError:
    """The BaseModelError that says in one line what `error`, met while fetching `spec`, means."""
    from huggingface_hub import errors

    what, mend = _by_status(_status(error), spec)
    if isinstance(error, errors.GatedRepoError):
        what, mend = "the hub asks for its licence to be accepted", _accept(spec)
    elif isinstance(error, errors.RevisionNotFoundError):
        what, mend = f"the hub has no revision {spec.revision!r} of it", "give a commit or branch after '@'"
    elif not what and isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled | ConnectionError):
        what = "the hub can't be reached and the model is not in the cache"
        mend = f"on line: hf download {spec.name} --revision {spec.revision}; or use mini"
    return BaseModelError(what or f"fetching failed: {error}", where=spec.name, mend=mend)


def _status(error: BaseException | None) -> int:
    """The HTTP status behind `error`; the hub's client wraps an answer it can't place as "not in the cache"."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status:
            return int(status)
        error = error.__cause__
    return 0


def _accept(spec: BaseSpec) -> str:
    return f"accept its licence at https://huggingface.co/{spec.name}, and set HF_TOKEN to a token of that account"


def _by_status(status: int, spec: BaseSpec) -> tuple[str, str]:
    table = {
        401: ("the hub doesn't know this token, or the model is private or misspelt", "set HF_TOKEN; check the name"),
        403: ("the hub refuses this token", _accept(spec)),
        404: ("the hub has no such model", "check the name"),
    }
    if status >= SERVER_ERROR:
        return f"the hub fails itself (HTTP {status})", "try again later, or use mini"
    return table.get(status, ("", "use mini, or try again later"))
