"""A real systemd as process 1 of namespaces of its own, with a peer installed in /opt/plora. Root on Linux only.

Nothing of this machine's own units is loaded, and all that it writes to (/run, /tmp, /var, /etc) is its own: a systemd
that boots clears /tmp and sets the kernel's knobs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

SYSTEMD = Path("/lib/systemd/systemd")
CODE = Path(__file__).resolve().parents[2]
UNITS = CODE / "deploy" / "systemd"
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
TARGETS = ("basic", "sysinit", "sockets", "shutdown", "local-fs", "network-online")
WAIT_S = 60.0

BOOT = """\
set -e
work=$1 group=$2 systemd=$3 base=$4
shift 4
mount --make-rprivate /
mount -t cgroup2 none "$work/cgroup"
mkdir "$work/cgroup/$group"
echo $$ >"$work/cgroup/$group/cgroup.procs"
for place; do mount --rbind "${place#*=}" "$work/opt/${place%%=*}"; done
mount --rbind "$work/opt" /opt
case $base in /root/* | /home/*)
    mount -t tmpfs -o mode=755 tmpfs "/$(echo "$base" | cut -d/ -f2)"
    mkdir -p "$base"
    mount --rbind /opt/python "$base" ;;
esac
mount --bind "$work/etc" /etc
umount -R /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mount --bind "$work/cgroup/$group" /sys/fs/cgroup
umount "$work/cgroup"
for tree in /run /var /tmp; do mount -t tmpfs tmpfs $tree; done
exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/etc/systemd/system SYSTEMD_GENERATOR_PATH=/etc/none \\
    SYSTEMD_SYSTEM_ENVIRONMENT_GENERATOR_PATH=/etc/none "$systemd" --system --unit=multi-user.target
"""
UNGROUP = 'mount -t cgroup2 none "$1/cgroup" && find "$1/cgroup/$2" -depth -type d -exec rmdir {} +'

Found = TypeVar("Found")


@dataclass
class Machine:
    """A booted systemd, seen from outside by the id of its process 1."""

    pid: int

    @property
    def root(self) -> Path:
        """Its files, from here."""
        return Path(f"/proc/{self.pid}/root")

    def run(self, *command: str, check: bool = True) -> str:
        """What a command prints there."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=WAIT_S)
        assert not check or not done.returncode, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def shows(self, unit: str, prop: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "-P", prop)

    def until(self, look: Callable[[], Found], told: Callable[[], str]) -> Found:
        """What `look` gives as soon as that is something."""
        deadline = time.monotonic() + WAIT_S
        while not (found := look()):
            assert time.monotonic() < deadline, told()
            self.run("journalctl", "--sync", check=False)
        return found


def make_opt(opt: Path) -> dict[str, Path]:
    """/opt/plora: an environment of this tree's rooms and this interpreter's packages. What is to lie where in /opt."""
    venv = opt / "plora"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    for link in (venv / "bin").glob("python*"):
        link.unlink()
        link.symlink_to(f"/opt/python/bin/python{sysconfig.get_python_version()}")
    (venv / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    packages = next(Path(place) for place in sys.path if (Path(place) / "grpc").is_dir())
    (site,) = (venv / "lib").glob("python*/site-packages")
    rooms = [f"/opt/code/{place.parent.name}" for place in CODE.glob("*/plora")]
    (site / "plora.pth").write_text("\n".join([*rooms, "/opt/packages"]))
    for command, module in (("plora-node", "node.daemon"), ("plora", "cli.main")):
        (venv / "bin" / command).write_text(f"#!/opt/plora/bin/python3\nfrom plora.{module} import main\nmain()\n")
        (venv / "bin" / command).chmod(0o755)
    return {"python": Path(sys.base_prefix).resolve(), "packages": packages, "code": CODE}


def make_etc(etc: Path) -> None:
    """The account, journald without the kernel's part, and nobody's units but the peer's and those it stands on.

    An interpreter in somebody's home has its libraries there, where the unit lets a peer see nothing: those are let in.
    """
    for name, line in (("passwd", "plora:x:10001:10001::/nonexistent:/usr/sbin/nologin"), ("group", "plora:x:10001:")):
        (etc / name).write_text(Path("/etc", name).read_text() + line + "\n")
    for name in ("nsswitch.conf", "ld.so.cache", "localtime"):
        shutil.copy(Path("/etc") / name, etc / name)
    (etc / "machine-id").write_text("0" * 31 + "1\n")
    (etc / "systemd").mkdir()
    (etc / "systemd" / "journald.conf").write_text("[Journal]\nAudit=no\nReadKMsg=no\nStorage=volatile\n")
    units = etc / "systemd" / "system"
    units.mkdir()
    for name in ("plora-node.service", "plora-node@.service"):
        shutil.copy(UNITS / "plora-node.service", units / name)
    for name in JOURNAL:
        shutil.copy(SYSTEMD.with_name("system") / name, units)
    for name in TARGETS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    (units / "multi-user.target").write_text(f"[Unit]\nDescription=all\nWants={' '.join(JOURNAL)}\n")
    base = Path(sys.base_prefix).resolve()
    homely = "" if base.parts[1] not in ("root", "home") else f"ProtectHome=tmpfs\nBindReadOnlyPaths={base}\n"
    for unit in ("plora-node.service.d", "plora-node@.service.d"):
        (units / unit).mkdir()
        (units / unit / "here.conf").write_text(f"[Service]\nWatchdogSec=10s\nRestartSec=100ms\n{homely}")


@contextmanager
def booted(work: Path) -> Iterator[Machine]:
    """A machine that runs until the block ends; skipped where none can be made, which fails in CI."""
    excuse = pytest.fail if os.environ.get("CI") else pytest.skip
    if os.geteuid() or not SYSTEMD.exists() or not shutil.which("nsenter"):
        excuse("a systemd of its own needs root and systemd (apt-get install systemd)")
    for name in ("opt", "etc", "cgroup"):
        (work / name).mkdir()
    places = make_opt(work / "opt")
    make_etc(work / "etc")
    for name in places:
        (work / "opt" / name).mkdir()
    given = [str(work), f"plora-test-{os.getpid()}"]
    unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--mount-proc"]
    bound = [f"{at}={it}" for at, it in places.items()]
    command = [*unshare, "bash", "-c", BOOT, "boot", *given, str(SYSTEMD), str(places["python"]), *bound]
    with (work / "boot.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield Machine(first_process(process, work / "boot.log"))
    finally:
        process.kill()
        process.wait()
        subprocess.run(["unshare", "--mount", "bash", "-c", UNGROUP, "ungroup", *given], check=False)


def first_process(unshare: subprocess.Popen[bytes], log: Path) -> int:
    """The id, here, of process 1 there, once systemd answers."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assert unshare.poll() is None, log.read_text()
        for pid in map(int, children.read_text().split()):
            asked = ["nsenter", "-t", str(pid), "-m", "-p", "systemctl", "is-system-running"]
            if subprocess.run(asked, capture_output=True, check=False).stdout.strip() == b"running":
                return pid
    raise AssertionError(f"systemd didn't come up: {log.read_text()}")
