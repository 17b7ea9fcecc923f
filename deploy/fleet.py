#!/usr/bin/env python3
"""One swarm on many hosts, from one file: `fleet.py fleet.yaml up|check|upgrade`. See deploy/README.md.

- Every command may be repeated, also after one that was cut off: what is there already stays, and only what is missing
  is made. `HOME.fleet.json` beside a home says what the peer that last answered was started with; another package, unit
  or settings than that want a restart.
- Keys are made on their own hosts and never leave them. The first host founds the swarm; every other joins by a ticket
  that is good once. What travels is tickets, owner records, settings, the unit and the wheel.
- All that a host does is one shell command each, run by `remote` (ssh by default), with its input on standard input. So
  ssh is all that a host needs besides Python 3.11 and, where `run` is `systemd`, root.
- `peer.yaml` is written from this file as long as its first line says so; who edits it by hand deletes that line. A
  home that this script didn't make keeps its own.
- A host hands in one owner record, which has to bear its own name: it speaks for nobody else. Whom a peer struck out
  stays so, and a host whose key is another than the one believed is an error, not a change.
- A host that fails, or gives no answer in time, is one line, and the others go on; the exit code is 1 then.

Not handled: firewalls, clocks, another account than `plora`, taking a host out (stop it; `plora peers rm` elsewhere).

>>> quoted("plora", "init", "--name", "a b")
"plora init --name 'a b'"
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any

import yaml

UNIT = Path(__file__).resolve().parent / "systemd" / "plora-node.service"
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
UNIT_HOME = "/var/lib/plora"
BY_INIT = b"# yaml-language-server:"
OURS = "# Written by deploy/fleet.py; delete this line to keep your own edits."
AS_PEER = "setpriv --reuid=plora --regid=plora --clear-groups --reset-env"
AT_ONCE = 8
WAIT_S = 120
ANSWER_S = 180
INSTALL_S = 1_800
STOP = """\
import fcntl, os, signal, sys, time

def held():
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False

try:
    lock = os.open(sys.argv[1], os.O_RDONLY | os.O_NOFOLLOW)
except FileNotFoundError:
    sys.exit()
end = time.monotonic() + float(sys.argv[2])
if held():
    time.sleep(0.5)  # who has just taken the lock writes its number then
    pid = int(os.pread(lock, 32, 0))
    os.kill(pid, signal.SIGTERM)
    while held():
        if time.monotonic() > end:
            sys.exit(f"process {pid} doesn't end; look why, or kill -9 {pid} there")
        time.sleep(0.2)
"""
"""Ends the process that holds a home's lock, and waits. The number in a lock that nobody holds may be anybody's."""

Applied = dict[str, str]
"""SHA-256 of what a peer was started with: `package`, `settings`, `unit`; absent is what this script didn't give, and
`settings` are "" as long as they are those of a home that was just made."""

Failed = dict[str, str]
"""A line for each host where something failed, by its name; "" for what concerns all."""


class FleetError(Exception):
    """What went wrong on which host, and what to do."""


@dataclass(frozen=True)
class Host:
    """One entry of `hosts`: `host` is what `remote` calls it, `address` what others dial ("": it only dials out)."""

    name: str
    host: str
    address: str = ""
    listen: str = "0.0.0.0:4700"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fleet:
    """fleet.yaml."""

    hosts: tuple[Host, ...]
    swarm: str = "swarm"
    remote: str = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 {host}"
    package: str = ""
    prefix: str = "/opt/plora"
    home: str = UNIT_HOME
    run: str = "systemd"
    trust: str | Sequence[str] = "everyone"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def founder(self) -> Host:
        """The first host, who invites the others."""
        return self.hosts[0]


def load(path: Path) -> Fleet:
    """Read fleet.yaml. Raises FleetError for what isn't one."""
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        hosts = tuple(Host(name, **entry) for name, entry in document.pop("hosts").items())
        fleet = Fleet(hosts, **document)
        for host in hosts:
            Remote(fleet, host)
    except (OSError, yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FleetError(f"{path}: can't be used ({error}); start from deploy/fleet.example.yaml") from error
    if not fleet.hosts or not fleet.founder.address:
        raise FleetError(f"{path}: hosts: the first host needs an `address` that the others can dial")
    if fleet.run not in ("systemd", "background"):
        raise FleetError(f"{path}: run: must be systemd or background; it was {fleet.run!r}")
    if fleet.run == "systemd" and fleet.home != UNIT_HOME:
        raise FleetError(f"{path}: home: under systemd it is {UNIT_HOME}, as the unit has it; leave this out")
    believed = [] if fleet.trust == "everyone" else list(fleet.trust)
    if unknown := set(believed) - {one.name for one in fleet.hosts}:
        raise FleetError(f"{path}: trust: no host is called {sorted(unknown)[0]!r}")
    return fleet


def quoted(*words: str) -> str:
    """Words as one shell command."""
    return shlex.join(words)


class Remote:
    """Runs shell commands on one host."""

    def __init__(self, fleet: Fleet, host: Host) -> None:
        self.fleet, self.host = fleet, host
        self.home = fleet.home.format(name=host.name)
        self.prefix = fleet.prefix.format(name=host.name)
        self._mark = f"{self.home}.fleet.json"  # beside it: a home is made where nothing is
        self._words = [word.format(host=host.host) for word in shlex.split(fleet.remote)]

    def sh(self, script: str, given: bytes = b"", *, wait_s: float = ANSWER_S) -> str:
        """What a script prints; FleetError with the last line of its complaint where it fails, or takes too long."""
        # Left by an exception, this waits for the process alone: what that started may hold the pipes for ever.
        with subprocess.Popen([*self._words, script], stdin=PIPE, stdout=PIPE, stderr=PIPE) as running:
            try:
                out, complaint = running.communicate(given, wait_s)
            except subprocess.TimeoutExpired as error:
                running.kill()
                raise FleetError(f"{self.host.name}: no answer in {wait_s:g} s (to: {script[:80]})") from error
        if running.returncode:
            said = (complaint or out).decode(errors="replace").strip().splitlines() or ["no answer"]
            raise FleetError(f"{self.host.name}: {said[-1]} (exit code {running.returncode} of: {script[:80]})")
        return out.decode(errors="replace")

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        return self.sh(f"test -e {quoted(path)} && echo yes || echo no").strip() == "yes"

    def put(self, path: str, data: bytes) -> None:
        """Write a file that all may read, whole or not at all."""
        self.sh(_written(path), data)

    def put_settings(self) -> None:
        """peer.yaml; by the peer's account, since root mustn't write where that account may have laid a link."""
        self.sh(self.as_peer(_written(f"{self.home}/peer.yaml")), settings_of(self.fleet, self.host))

    def applied(self) -> Applied:
        """What the peer that last answered was started with."""
        return dict(json.loads(self.sh(f"cat {quoted(self._mark)} 2>/dev/null || echo {{}}")))

    def put_applied(self, applied: Applied) -> None:
        """Note it."""
        self.put(self._mark, json.dumps(applied).encode())

    def read(self, name: str) -> bytes:
        """A file of the home, as the peer's account sees it."""
        return self.sh(self.as_peer(f"cat {quoted(f'{self.home}/{name}')}")).encode()

    def plora(self, *words: str, given: bytes = b"") -> str:
        """What `plora` says, as the account that the peer runs by."""
        return self.sh(self.as_peer(self._command(*words)), given)

    def as_peer(self, command: str) -> str:
        """The command by the peer's account, where it has one."""
        return f"{AS_PEER} sh -c {quoted(command)}" if self.fleet.run == "systemd" else command

    def status(self) -> dict[str, Any]:
        """What the peer says of itself; empty where none answers. FleetError where the host itself can't be asked."""
        said = self.sh(self.as_peer(f"{self._command('status', '--json')} || true"))
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
        if found and not {"boot", "links", "root", "version"} <= found.keys():
            raise FleetError(f"{self.host.name}: what the peer says of itself lacks something; `upgrade` it")
        return found

    def _command(self, *words: str) -> str:
        return quoted(f"{self.prefix}/bin/plora", *words, "--home", self.home)


def _written(path: str) -> str:
    at = quoted(path)
    return f"umask 022 && cat > {at}.new && mv {at}.new {at}"


# What is made on a host


def prepare(remote: Remote) -> None:
    """The account, the folder of the home."""
    home = quoted(remote.home)
    if remote.fleet.run == "systemd":
        account = (
            "id -u plora >/dev/null 2>&1 || useradd --system --home-dir /var/lib/plora --shell /usr/sbin/nologin plora"
        )
        remote.sh(f"{account} && install -d -o plora -g plora -m 0700 {home}")
    else:
        remote.sh(f"mkdir -p {home} && chmod 700 {home}")


def install(remote: Remote) -> Applied:
    """The wheel in its environment, with the packages that it was tested with; their mark."""
    if not remote.fleet.package:
        return {}
    data, constraints, prefix = _package(remote.fleet), CONSTRAINTS.read_bytes(), remote.prefix
    mark = hashlib.sha256(data + constraints).hexdigest()
    if remote.sh(f"cat {quoted(prefix)}/installed 2>/dev/null || true").strip() == mark:
        return {"package": mark}
    remote.sh(f"test -e {quoted(prefix)}/bin/python3 || python3 -m venv {quoted(prefix)}")
    wheel, versions = f"{prefix}/{Path(remote.fleet.package).name}", f"{prefix}/constraints.txt"
    remote.put(wheel, data)
    remote.put(versions, constraints)
    # Only wheels: a source would run its author's code, as root, while it is built.
    options = f"-q --disable-pip-version-check --only-binary=:all: -c {quoted(versions)}"
    pip = f"{quoted(prefix)}/bin/python3 -m pip install {options}"
    remote.sh(f"{pip} {quoted(wheel)} && {pip} --force-reinstall --no-deps {quoted(wheel)}", wait_s=INSTALL_S)
    remote.put(f"{prefix}/installed", mark.encode())
    return {"package": mark}


def _package(fleet: Fleet) -> bytes:
    try:
        return Path(fleet.package).read_bytes()
    except OSError as error:
        mend = "`python3 -m pip wheel --no-deps -w dist .` makes it"
        raise FleetError(f"package: {fleet.package} can't be read ({error.strerror}); {mend}") from error


def found_or_join(remote: Remote, founder: Remote) -> None:
    """A home, if there is none: the founder's swarm is new, all others come by a ticket."""
    if remote.has(f"{remote.home}/peer.yaml"):
        return
    remote.put_applied({"settings": ""})
    host = remote.host
    places = ["--listen", host.listen, *(["--advertise", host.address] if host.address else [])]
    if remote.host == founder.host:
        remote.plora("init", "--name", host.name, "--swarm", remote.fleet.swarm, *places)
    else:
        asked = ("invite", host.name, "--address", founder.host.address, "--no-qr", "--json")
        ticket = json.loads(founder.plora(*asked))["ticket"]
        remote.plora("join", "-", *places, given=ticket.encode())


def settings_of(fleet: Fleet, host: Host) -> bytes:
    """peer.yaml of a host."""
    own: dict[str, Any] = {"name": host.name, "listen": host.listen}
    own |= {"advertise": [host.address]} if host.address else {"dialable": False}
    text = yaml.safe_dump({**own, **fleet.settings, **host.settings}, sort_keys=False)
    return f"{OURS}\n{text}".encode()


def settle(remote: Remote, was: Applied) -> Applied:
    """peer.yaml as this file says, if it is ours; its mark, which stays as it was where a person keeps the file."""
    there, wanted = remote.read("peer.yaml"), settings_of(remote.fleet, remote.host)
    fresh = was.get("settings") == "" and there.startswith(BY_INIT)
    if not there.startswith(OURS.encode()) and not fresh:
        return {name: mark for name, mark in was.items() if name == "settings"}
    if there != wanted:
        remote.put_settings()
    return {"settings": hashlib.sha256(wanted).hexdigest()}


def unit_of(remote: Remote) -> bytes:
    """The unit, for where the program lies there."""
    return UNIT.read_text("utf-8").replace("/opt/plora", remote.prefix).encode()


def unit_mark(remote: Remote) -> Applied:
    """The unit's, where one runs the peer."""
    return {"unit": hashlib.sha256(unit_of(remote)).hexdigest()} if remote.fleet.run == "systemd" else {}


def start(remote: Remote, *, again: bool = False) -> None:
    """The peer runs, by systemd or in the background; `again`: with what changed."""
    if remote.fleet.run == "systemd":
        remote.put("/etc/systemd/system/plora-node.service", unit_of(remote))
        remote.sh("systemctl daemon-reload && systemctl enable -q plora-node")
        remote.sh(f"systemctl {'restart' if again else 'start'} plora-node")
        return
    if again:
        stop(remote)
    if not remote.status():
        node = quoted(f"{remote.prefix}/bin/plora-node", "--config", f"{remote.home}/peer.yaml")
        remote.sh(f"setsid nohup {node} >>{quoted(remote.home)}.log 2>&1 </dev/null & ")


def stop(remote: Remote) -> None:
    """The peer that runs in the background has ended; FleetError where it doesn't."""
    python, lock = f"{remote.prefix}/bin/python3", f"{remote.home}/LOCK"
    remote.sh(quoted(python, "-c", STOP, lock, str(WAIT_S)))


def answers(remote: Remote) -> None:
    """Wait until the peer does."""
    line = quoted(f"{remote.prefix}/bin/plora", "status", "--quiet", "--home", remote.home)
    loop = f"n=0; until {line} >/dev/null 2>&1; do n=$((n+1)); [ $n -lt {WAIT_S} ] || exit 1; sleep 1; done"
    try:
        remote.sh(remote.as_peer(loop))
    except FleetError as error:
        mend = "journalctl -u plora-node" if remote.fleet.run == "systemd" else f"see {remote.home}.log"
        raise FleetError(f"{remote.host.name}: the peer doesn't answer; {mend} there") from error


def restart(remote: Remote) -> None:
    """Another process than before answers."""
    before = remote.status().get("boot")
    start(remote, again=True)
    answers(remote)
    if before and remote.status().get("boot") == before:
        raise FleetError(f"{remote.host.name}: the old process still answers; stop it there, and repeat")


def bring_up(remote: Remote, founder: Remote) -> None:
    """A host has all that it lacks, and its peer runs with it."""
    prepare(remote)
    package = install(remote)
    found_or_join(remote, founder)
    was = remote.applied()
    now = package | unit_mark(remote) | settle(remote, was)
    if now != was:
        restart(remote)
        remote.put_applied(now)
    else:
        start(remote)
        answers(remote)


def renew(remote: Remote) -> None:
    """The package, and a restart with it."""
    package = install(remote)
    restart(remote)
    remote.put_applied(remote.applied() | package | unit_mark(remote))


# Whom peers believe


@dataclass(frozen=True)
class Owner:
    """An owner's id, and their `.owner` file."""

    id: str
    record: bytes


def owner_of(remote: Remote, founder: Remote) -> Owner:
    """The owner that a host hands in, read by the founder's program; FleetError where it names another host."""
    name = remote.host.name
    record = remote.read(f"owner/{name}.owner")
    show = quoted(f"{founder.prefix}/bin/plora", "owner", "show", "--json")
    script = f"d=$(mktemp -d) && cat >$d/it.owner && {show} $d/it.owner; code=$?; rm -r $d; exit $code"
    try:
        said = json.loads(founder.sh(founder.as_peer(script), record))
    except FleetError as error:
        raise FleetError(f"{name}: the owner record that it handed in can't be used ({error})") from error
    if said["name"] != name:
        raise FleetError(
            f"{name}: the owner record that it handed in is {said['name']}'s; nobody was told to believe it"
        )
    return Owner(said["owner"], record)


def believe(remote: Remote, owners: Mapping[str, Owner]) -> None:
    """Have a peer believe owners; whom it knows already, or struck out, stays as they are."""
    others = {name: one for name, one in owners.items() if name != remote.host.name}
    rows = json.loads(remote.plora("trust", "ls", "--json")) if others else []
    known = {row["owner"] for row in rows}
    called = {row["nickname"] for row in rows if row["roles"]}
    unknown = {name: one for name, one in others.items() if one.id not in known}
    if new := {name: one for name, one in unknown.items() if name not in called}:
        _add(remote, new)
    if changed := sorted(unknown.keys() & called):
        mend = f"if that host was made anew: `plora trust rm {changed[0]}` there, and repeat"
        raise FleetError(f"{remote.host.name}: believes another key as {', '.join(changed)} than that host has; {mend}")


def _add(remote: Remote, owners: Mapping[str, Owner]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, one in owners.items():
            entry = tarfile.TarInfo(f"{name}.owner")
            entry.size = len(one.record)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(one.record))
    add = quoted(f"{remote.prefix}/bin/plora", "trust", "add", "--yes", "--quiet", "--home", remote.home)
    script = (
        f"set -e; d=$(mktemp -d); tar -x -C $d; "
        f'for f in $d/*.owner; do {add} --nickname "$(basename $f .owner)" $f; done; rm -r $d'
    )
    remote.sh(remote.as_peer(script), packed.getvalue(), wait_s=INSTALL_S)


# The commands


def up(fleet: Fleet) -> Failed:
    """Every host has a running peer in the swarm that believes whom it is to believe; what failed."""
    remotes = [Remote(fleet, host) for host in fleet.hosts]
    founder = remotes[0]

    if failed := each([founder], lambda remote: bring_up(remote, founder)):
        return failed  # nobody can join without it
    failed = each(remotes[1:], lambda remote: bring_up(remote, founder))
    there = [remote for remote in remotes if remote.host.name not in failed]
    believed = [one for one in there if fleet.trust == "everyone" or one.host.name in fleet.trust]
    owners: dict[str, Owner] = {}
    failed |= each(believed, lambda remote: owners.update({remote.host.name: owner_of(remote, founder)}))
    return failed | each(there, lambda remote: believe(remote, owners))


def check(fleet: Fleet) -> Failed:
    """Print how every host does; what is wrong."""
    found: dict[str, dict[str, Any]] = {}
    remotes = [Remote(fleet, host) for host in fleet.hosts]
    failed = each(remotes, lambda remote: found.update({remote.host.name: remote.status()}))
    for host in fleet.hosts:
        said = found.get(host.name)
        if not said:
            failed.setdefault(host.name, f"{host.name}: no peer answers")
            continue
        counts = f"{said['links']} links  {said['plasmids_accepted']} accepted"
        say(f"{host.name:<16} {said['version']}  {counts}  {said['root'][:12]}")
        if not said["links"] and len(fleet.hosts) > 1:
            failed[host.name] = f"{host.name}: nobody is linked; `plora doctor` there says why"
    roots = {said["root"] for said in found.values() if said}
    if len(roots) > 1:
        failed[""] = f"{len(roots)} different sets of statements; look again in a minute, they may be under way"
    return failed


def upgrade(fleet: Fleet) -> Failed:
    """One host after the other gets the package, and the next only when it answers; stops at the first that doesn't."""
    for host in fleet.hosts:
        remote = Remote(fleet, host)
        if failed := each([remote], renew):
            return failed
        say(f"{host.name}: upgraded")
    return {}


def say(line: str) -> None:
    """One line to whoever looks."""
    sys.stdout.write(f"{line}\n")


def each(remotes: Sequence[Remote], work: Callable[[Remote], object]) -> Failed:
    """Do it on some hosts at once."""

    def tried(remote: Remote) -> str:
        try:
            work(remote)
        except FleetError as error:
            return str(error)
        except (OSError, ValueError, LookupError, TypeError) as error:  # a tool that is missing, an answer torn off
            return f"{remote.host.name}: {error}"
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = zip(remotes, pool.map(tried, remotes), strict=True)
        return {remote.host.name: line for remote, line in found if line}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="fleet.py", description="One swarm on many hosts, from one file.")
    parser.add_argument("file", type=Path, metavar="FILE", help="fleet.yaml; see deploy/fleet.example.yaml")
    parser.add_argument("command", choices=("up", "check", "upgrade"))
    options = parser.parse_args(arguments)
    try:
        fleet = load(options.file)
        failed = {"up": up, "check": check, "upgrade": upgrade}[options.command](fleet)
    except FleetError as error:
        failed = {"": str(error)}
    for line in failed.values():
        sys.stderr.write(f"fleet: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
