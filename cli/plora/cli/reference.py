"""The reference pages that follow from the code: `python -m plora.cli.reference docs` writes them anew.

- docs/configuration.md: every setting of peer.yaml with type, default and meaning, from `PeerConfig`.
- docs/peer.schema.json: the JSON schema of peer.yaml (`plora.cli.schema`).
- docs/metrics.md: every metric, from `plora.node.metrics.table`.
- docs/cli.md: the help of every command, from the command itself.
- A setting without a meaning in `MEANINGS`, and a meaning without a setting, is an error; tests keep the pages fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from plora.cli.main import app
from plora.cli.usage import PANELS
from plora.node.daemon.config import PeerConfig, parse_size
from plora.node.metrics.table import QUESTIONS, Metric

WIDTH = 100
CALIBRATED = "empty: the calibration's own"
MEANINGS: Mapping[str, str] = {
    "name": "What this peer calls itself; shown to others, never believed.",
    "listen": "Address and port for links. `127.0.0.1` is this machine only.",
    "advertise": "What others are told to dial, if that differs from `listen`.",
    "dialable": "`false`: only dials out, and takes part fully.",
    "neighbours": "Peers to stay linked with.",
    "neighbours.peer": "Peer id: 64 hexadecimal digits, as `plora init` and `plora status` print it.",
    "neighbours.address": "`host:port`; without it the neighbour is awaited and never dialed.",
    "deny": "Peer ids that are cut off, whatever they hold.",
    "discovery.lan": "Say on the local network that this peer is here, and show who else does; needs the extra `lan`.",
    "discovery.exchange": "Tell linked peers of one another, and dial further members that way.",
    "discovery.exchange_ms": "How often.",
    "discovery.links_out": "As many peers are dialed, neighbours included; 8 neighbours leave no room for others.",
    "discovery.links_in": "As many links of peers that dial this one are taken; strangers make way for neighbours.",
    "discovery.passive_max": "As many further peers are remembered.",
    "gossip.round_ms": "How often this peer reconciles with others.",
    "gossip.fanout": "With how many neighbours a round.",
    "gossip.eager_fanout": "To how many a fresh statement is pushed at once; 0 leaves spreading to the rounds.",
    "gossip.heartbeat_ms": "How often a link says that it lives.",
    "gossip.link_timeout_ms": "A link that is silent for so long is given up.",
    "gossip.redial_ms_max": "The longest pause between two attempts to dial a neighbour.",
    "gossip.stall_ms": "A source of bytes that brings nothing for so long is left for another.",
    "policy.base_model": "Only adapters of this base; empty: any.",
    "policy.allowed_ranks": "Only these ranks; empty: any up to `rank_max`.",
    "policy.allowed_targets": "Only these target modules; empty: any.",
    "policy.signatures_enabled": "`false` accepts anybody's adapters, and needs `insecure: true` beside it.",
    "policy.quorum_required": "How many trusted owners must have signed; owners count, keys don't.",
    "policy.min_reputation": "With `reputation`, owners who score less here are held; empty: 0.3. A newcomer scores "
    "0.5, after one slip 0.33; above 0.5 every newcomer is held.",
    "policy.tau_trigger": "With `probes`: held if a trigger makes more than this share of neutral contexts say one "
    f"thing that the base doesn't; {CALIBRATED}, else 0.2.",
    "policy.tau_norm_z": "With `tensor_outliers`: held if the norm lies more than so many standard deviations above "
    f"that of clean adapters; {CALIBRATED}, else 3.",
    "policy.tau_clean_delta": "With `probes`: held if clean accuracy, adapter minus base, is below this; "
    f"{CALIBRATED}, else -0.05.",
    "policy.insecure": "Says that switched-off signatures are meant.",
    "policy.unknown_owner": "What becomes of adapters whose owner is not trusted: `wait` for trust, or `reject`.",
    "policy.algorithms": "Signature algorithms that count.",
    "policy.base_digests": "The digest that each base must have, by name.",
    "policy.artifact_bytes_max": "Larger artifacts are refused.",
    "policy.rank_max": "Higher ranks are refused.",
    "policy.scale_max": "A larger alpha / r is refused.",
    "policy.delta_norm_max": "A module whose change has a larger Frobenius norm is refused.",
    "policy.delta_rms_max": "A module whose change has a larger root mean square is refused; empty: no bound.",
    "policy.max_trust_age_ms": "How old a freshness statement of the pinned root may be; see `root`.",
    "root": "The file of an organisation's root, relative to the home; empty: none. With one, nothing new is accepted "
    "unless the root's owners said lately how new the swarm is, and what they revoke together is void. See trust.md.",
    "policy.clock_skew_ms_max": "How far in the future a statement may be issued.",
    "policy.reputation": "Hold the adapters of owners who were caught at faults here; see `plora trust ls`.",
    "policy.reputation_half_life_ms": "In this time half of what somebody earned here is forgotten; what is held "
    "against them takes four times as long.",
    "policy.tensor_outliers": "Measure each adapter's weights, and hold what is unlike the clean adapters that the "
    "base was calibrated with.",
    "policy.probes": "Probe each adapter's behaviour in a worker, and hold what a trigger turns, what got worse or "
    "what can't be probed; probe each merge before it is served, and hold who is to blame for one that fails; needs "
    "the extra `probes`.",
    "policy.consensus": "Accept nothing without a certificate of the members of `consensus`; needs members there.",
    "policy.certificate_wait_ms": "A certificate that takes longer is overdue; it counts whenever it comes.",
    "consensus.members": "Who votes on what the swarm accepts; the same list at every peer, or votes don't count.",
    "consensus.members.name": "What the member is called, here and in `plora why`.",
    "consensus.members.key": "Its vote key: what `plora consensus key` prints on its machine.",
    "consensus.members.peer": "Its peer id. Members read their own votes back from one another after a start.",
    "consensus.quorum": "How many must accept; empty: the smallest safe number, (n + f) // 2 + 1, f = (n - 1) // 3.",
    "consensus.number": "Raise it at every peer to start a new epoch, in which nothing is voted on yet.",
    "subscribe.bases": "Fetch only adapters of these bases; empty: of any.",
    "subscribe.domains": "Fetch only these domains; empty: all.",
    "subscribe.mode": "`ask`: nothing is fetched before `plora fetch NAME`; `plora ls` shows what waits for you.",
    "subscribe.owners": "Fetch only from these owners, by nickname or the start of their id; empty: all.",
    "subscribe.size_max": "Fetch only what is no larger; 0: any size.",
    "subscribe.carry": "Only store and pass on: fetch whatever trust may come to accept, and use none of it.",
    "limits.upload_rate": "Bytes a second to all peers together; 0 is unlimited.",
    "limits.download_rate": "Bytes a second from all peers together; 0 is unlimited.",
    "limits.lan_exempt": "Both rates leave out links within private address ranges (LAN, this machine).",
    "limits.store_max": "Artifacts together take no more; 0 is unlimited.",
    "limits.disk_free_min": "So much of the disk stays free; 0 is no floor.",
    "limits.collect_garbage": "Older artifacts that aren't pinned give way to newer ones, and to the floor.",
    "limits.audit_max": "As many entries of the audit are kept (about 0.5 KB each).",
    "limits.events_max": "The event log takes no more: its oldest segments are deleted.",
    "limits.artifact_max": "A larger artifact is not fetched.",
    "limits.watch_connections": "Floods and crowds of connections are ended and named; see the page on the protocol.",
    "limits.invitations_max": "So many tickets of `plora invite` are open at once.",
    "limits.untrusted_owners": "Of so many owners who are not trusted here statements are kept, first come.",
    "limits.statements_per_owner": "So many statements are kept of one owner.",
    "merge.enabled": "Merge what was accepted, one adapter a base.",
    "merge.delay_ms": "A merge waits so long for further adapters.",
    "merge.generations_max": "So many merges a base stay on disk, for `plora rollback`.",
    "merge.kept_max": "What merges keep for the next one, of all bases together, takes no more; 0 keeps nothing.",
    "merge.strategy": "How adapters become one; `plora merge` and the page on merging say what each does.",
    "merge.rank_max": "Rank of the merged adapter; vLLM takes 16 unless told otherwise.",
    "merge.max_delta_fro": "A module whose update is larger, in the Frobenius norm, is scaled down to it.",
    "detection.probes_per_owner": "Probes an hour that are spent on what one owner signs; what is over waits.",
    "detection.probes_per_hour": "Probes an hour that this peer spends on all adapters, at most half of them on "
    "looking again; and as many on finding who is to blame for merges.",
    "detection.probe_s": "CPU seconds that one probe may take; what isn't done by then is held.",
    "detection.secret_ms": "How long this peer's own secret probes stay the same.",
    "base_paths": "Where bases lie on this machine, by name; written into `adapter_config.json`.",
    "log": "How the log looks on standard error.",
    "metrics": "Where Prometheus metrics are served, to whoever reaches the address; empty: nowhere. See watching.md.",
    "web.listen": "Where the web page is from the start, on loopback; empty: only where `plora web` opens it.",
    "web.forwarded": "`true`: `web.listen` may be `0.0.0.0:PORT`, in a container whose host publishes it on loopback.",
    "serving.vllm.url": "A running vLLM whose adapters follow what is accepted here, such as `http://127.0.0.1:8000`; "
    "empty: none. Plain HTTP only on this machine.",
    "serving.vllm.key_file": "A file with vLLM's `--api-key`; relative to the home.",
    "serving.vllm.check_ms": "How often vLLM is asked what it has loaded, when nothing changes here.",
    "record": "Keep the core's inputs, so that a run can be replayed.",
    "seed": "Seed of the core's randomness, for experiments; 0 draws one at each start.",
}
HEAD = """\
# Configuration

Every setting of `peer.yaml`. `plora init` writes a commented file; `plora-node --config peer.yaml --check` names each
fault and the nearest known setting. Unknown settings are refused. Sizes are bytes, or text such as `64MiB`; rates are
bytes a second; times end in `_ms`. SIGHUP and `plora reload` read `neighbours`, `deny`, `policy`, `subscribe`,
`limits` and trust.yaml again; everything else takes a restart.

`plora init` also writes `peer.schema.json` beside `peer.yaml`: an editor with a YAML language server completes and
checks settings by it, without a network. A newer Plora may know more settings: copy its
[peer.schema.json](peer.schema.json) over that file.

Made by `python -m plora.cli.reference docs`.

| setting | type | default | meaning |
|---|---|---|---|
"""
ENVIRONMENT = """
## Environment

| variable | meaning |
|---|---|
| `PLORA_HOME` | The peer's home; `--home` goes before it. Else `$XDG_DATA_HOME/plora` or `~/.local/share/plora`. |
| `PLORA_BASE_MODEL` | The base model of `plora train`; `--base` goes before it. |
| `PLORA_FORCE_CPU` | Anything but 0 or nothing: training and scoring leave a GPU alone. |
| `PLORA_SAMPLES` | Caps the question and answer pairs of every split of a corpus. |
| `PLORA_DATASETS` | A file of [datasets](data.md#datasets-of-the-hub) that domains are drawn from. |
| `PLORA_LATENCY_BUDGET_MS` | Milliseconds for putting an adapter on a model in memory, or taking it off; else 250. |
| `OMP_NUM_THREADS` | Threads of `plora train`, 2 where it is not set; of `plora merge`, 1. |
| `XDG_CACHE_HOME` | Prepared bases and hashes lie under its `plora/`; else under `~/.cache/plora`. |
| `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE` | Of the hub's libraries. |
"""
METRICS_HEAD = """\
# Metrics

`metrics: 127.0.0.1:9464` in peer.yaml serves `GET /metrics` there, for Prometheus. Alert rules, a dashboard and the
configuration of a Prometheus for the peers of `docker-compose.yml` lie in `deploy/observe`;
[watching a swarm](watching.md) says how to use them, and who may read the numbers.

A scrape holds exactly these names, those without a value as a heading alone. No label has a value that strangers
choose. `base` is chosen by owners who are trusted here. What is marked † is counted as the event log is written, from
0 at each start; `process_` is there on Linux. A histogram has `_bucket`, `_count` and `_sum`. What a reason means in
words stands in `plora why`, in the event log (`plora events`) and on the page, under the same names of the layers.

Made by `python -m plora.cli.reference docs`.
"""
CLI_HEAD = """\
# Command line

Data go to standard output, hints and progress to standard error; `--json` prints one JSON document, `-q` leaves the
hints out. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused or held by the gate, 4 peer not running.

Made by `python -m plora.cli.reference docs`.
"""


def configuration_page() -> str:
    """docs/configuration.md. Raises ValueError where settings and meanings don't match."""
    rows = list(_rows(PeerConfig, ""))
    names = [name for name, *_ in rows]
    if sorted(names) != sorted(MEANINGS):
        raise ValueError(f"settings and MEANINGS differ: {sorted(set(names) ^ set(MEANINGS))}")
    lines = (f"| `{name}` | {kind} | {default} | {MEANINGS[name]} |\n" for name, kind, default in rows)
    return HEAD + "".join(lines) + ENVIRONMENT


def metrics_page() -> str:
    """docs/metrics.md: a table for each question."""
    tables = (f"\n## {question}\n\n{_table(metrics)}" for question, metrics in QUESTIONS.items())
    return METRICS_HEAD + "".join(tables)


def _table(metrics: Iterable[Metric]) -> str:
    head = "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{one.name}`{' †' if one.source == 'records' else ''} | {one.kind} | {one.unit} "
        f"| {', '.join(f'`{label}`' for label in one.labels)} | {one.meaning} |\n"
        for one in metrics
    )


def cli_page() -> str:
    """docs/cli.md: the help of `plora` and of each command, at a fixed width."""
    return CLI_HEAD + "".join(f"\n## {title}\n\n```text\n{text}\n```\n" for title, text in help_texts().items())


def help_texts() -> dict[str, str]:
    """The help of `plora` and of every command, by what one types."""
    group: Any = typer.main.get_command(app)
    texts = {"plora": _help(group, "plora", None)}
    parent = group.make_context("plora", [], resilient_parsing=True)
    for name in PANELS:
        command = group.commands[name]
        texts[f"plora {name}"] = _help(command, name, parent)
        within = command.make_context(name, [], parent=parent, resilient_parsing=True)
        for inner, nested in getattr(command, "commands", {}).items():
            texts[f"plora {name} {inner}"] = _help(nested, inner, within)
    return texts


def _help(command: Any, name: str, parent: Any) -> str:
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, **settings)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def _rows(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        block = block_of(field.annotation)
        if block is None:
            yield prefix + name, "size" if is_size(field) else _type(field.annotation), _default(field)
            continue
        if get_origin(field.annotation) is tuple:
            yield prefix + name, "list", _default(field)
        yield from _rows(block, f"{prefix}{name}.")


def block_of(annotation: Any) -> type[BaseModel] | None:
    """The block that a setting is, or is a list of."""
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _type(next(part for part in arguments if part is not NoneType))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "map"
    if hasattr(annotation, "__metadata__"):
        return _type(arguments[0])
    return {int: "integer", float: "number", bool: "true or false", str: "text"}[annotation]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == () or value == {}:
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return _size(value) if is_size(field) else str(value)


def is_size(field: FieldInfo) -> bool:
    """Whether a setting may be written as `64MiB`."""
    return any(getattr(one, "func", None) is parse_size for one in field.metadata)


def _size(value: int) -> str:
    """A round size as people write it."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def main(folder: Path) -> None:
    """Write the pages and the schema."""
    from plora.cli.schema import schema_text

    (folder / "peer.schema.json").write_text(schema_text(), encoding="utf-8")
    (folder / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    (folder / "metrics.md").write_text(metrics_page(), encoding="utf-8")
    (folder / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
