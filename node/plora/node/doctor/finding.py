"""One thing that is wrong, and the checks that a home and a running peer have in common."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plora.node.audit.copies import Verified
from plora.node.reach import meaning_of

FILES_MIN = 1024
AUDIT_FAULTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what mends it; `check` is the word for the kind of check, such as "disk".

    >>> str(Finding("disk", "3 GiB are left", "free some space"))
    'disk: 3 GiB are left; free some space'
    """

    check: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.what}{f'; {self.mend}' if self.mend else ''}"


def unreachable(name: str, address: str, code: str) -> Finding:
    """A neighbour that can't be dialed, or that parted; `code` is one of `plora.node.reach`."""
    meaning = meaning_of(code)
    return Finding("neighbours", f"{name}{f' at {address}' if address else ''}: {meaning.what}", meaning.mend)


def audit_findings(found: Verified) -> list[Finding]:
    """The first things that are wrong with the audit and that nobody acknowledged: edits and cuts, of the state too."""
    mend = (
        "see `plora audit verify`; what others signed comes back from them, what this peer decided may be forged; if "
        "you know how it came about: `plora audit acknowledge`"
    )
    return [Finding("audit", fault.what, mend) for fault in found.open[:AUDIT_FAULTS_SHOWN]]


def detector_findings(troubles: Iterable[str]) -> list[Finding]:
    """What the detectors lack that the policy switches on."""
    return [Finding("detection", said, "until then what they should look at is held") for said in troubles]


def file_limit() -> Iterator[Finding]:
    """Whether this process may open too few files for links, blobs and the store."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        high_enough = hard == resource.RLIM_INFINITY or hard >= FILES_MIN
        mend = f"`ulimit -n {FILES_MIN}` before `plora up`" if high_enough else "raise `nofile` for this user"
        yield Finding("files", f"a peer may open only {soft} files here", mend)
