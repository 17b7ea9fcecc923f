"""The attacks that Plora must withstand: number, what it tries, and what has to happen. One line each.

The verdict letters:

| letter | means |
|---|---|
| A | accepted: the attack was none, or has no effect on what is accepted |
| R | rejected, or refused where it comes in |
| Q | quarantined |
| P | pending |
| D | deferred: no penalty, not remembered |
| X | the call is aborted, the peer penalised and cut off |
| E | evidence: the word of the guilty key or member stops counting |
| H | holds: no verdict is due; the bound or promise that the title names was kept |

Where several stand together, inputs of one attack differ in what they deserve.

Numbers are never reused; numbers that are not here are not promised yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LETTERS = "ARQPDXEH"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: `verdicts` are the letters of which each of its inputs must get one."""

    number: int
    title: str
    verdicts: str


_LINES = """
1 R a key of plora.yml given twice
2 R aliases that unfold to ten thousand million leaves
3 R an alias that holds itself
4 R 1,900 brackets or levels inside the size limit, refused within 10 ms
5 R an integer of 4,000 digits
6 R a tag that makes Python objects
7 R text that YAML readers turn into something else
8 R several documents in one file
9 R a field too many or too few
10 R a file name that leads elsewhere
11 R ids that look like other ids
12 R the base model's name with another base's digest
13 R a rank that is zero, negative, huge, or not the tensors'
14 R an alpha, pattern or rslora that inflates the scale
15 R a regular expression where PEFT would compile it
16 R a key of adapter_config.json outside the allowlist
17 R a manifest over the size limit, refused before it is parsed
18 R bytes whose SHA-256 is not the signed one
19 R bytes of another size than declared
20 R a pickle, named so or renamed
21 R an archive or compression bomb
22 R a file swapped after it was hashed; a hard link, through which it could be
23 R a file that no manifest names
24 R a tensor name given twice
25 R a metadata entry given twice
26 R an unknown field of a tensor
27 R white space around the header
28 R a header length of zero, beyond the file or beyond reason
29 R offsets that overlap, leave holes, run backwards or aren't integers
30 R hundreds of thousands of empty tensors, or megabytes of metadata
31 R shapes that hide their size
32 R tensor names that are empty, twins or paths
33 R an archive inside a tensor
34 R NaN or infinity
35 RQ finite factors whose product overflows half precision
36 R a type of number that no adapter needs
37 R a factor without its partner, or of wrong dimensions
38 A a second copy of an accepted adapter: kept, with merge weight zero, both named
39 Q one huge element, a flood of denormals, or nothing but zeros
40 R one signature handed in several times
41 P one owner counted twice
42 R a key of small or mixed order, or in a spelling of its own
43 R a signature altered by multiples of the group order, or of wrong length
44 R a signature from another context
45 R RSA with weak keys, paddings, hashes or salts
46 R a quorum below one or above the number of owners, refused at start
47 R threshold or algorithm taken from the manifest
48 R a revoked key: all its signatures are void; an expiry, which no key has, only what it signs
49 A garbage signatures beside valid ones
50 R an older version, without blame for who carries it
51 E other content under the same version
52 D a manifest from the future
53 A version 2^53-1 signed with a stolen key
54 R a manifest of another swarm
55 D no fresh freshness statement where an organisation's root is pinned
56 X chunks out of order, twice, or beyond the size
57 X a call that trickles
58 X messages over the limit, and compressed bombs
59 X a flood of pings
60 H a source that accepts a request and sends nothing is penalised
61 H junk that forces costly probes: each owner and the peer have a budget
62 X a leaf or link that claims to be another peer
63 H many newcomers have no more influence than one
64 H a new name starts without credit
65 H the penalty for betrayal outlasts the credit before it
66 H a ring of mutual praise changes nothing in the merge
67 H slander without evidence has no effect
68 H one honest neighbour is enough, and without any a peer turns stale and accepts nothing
69 R an adapter scaled a hundredfold
72 H a bank seeded by the attacker's own clean adapters: no threshold drifts
73 AQ factors rescaled, padded or stored otherwise: the same score
78 Q a colluding pair, each benign alone
80 H two contents for one slot: at most one certificate
81 E a member accepts two contents of one slot
82 R a vote of another slot, epoch or policy
83 RP a certificate below the quorum, or votes below it
84 R votes of peers who are not members
85 R a proposal whose content is not the bytes'
86 R an owner's name squatted by another trusted owner
87 R the digest signer used to sign a manifest
88 A a co-signature that arrives late
89 R a revocation undone, or made by somebody else
90 D a freeze: only old statements that haven't expired
91 R the configuration of one version with the tensors of another
92 D the clock set back below the latest signed time
93 H a snapshot of disk or machine restored: no second vote, nothing forgotten
94 A content first seen with garbage signatures or too early
95 X a client of TLS 1.2
96 X a chunk list that is not the signed root
97 X reconciliation with crafted ranges
98 X floods of HTTP/2 resets, continuations and settings
99 R health or reflection without identity
100 H a flood of manifests by unknown keys is not stored beyond its bound
101 H one update under many ids, domains and factorisations has the weight of one
102 Q an accepted adapter that makes the next honest merge fail: it is held, the newcomer stays
104 Q three that act only together, in any order of arrival
105 H submissions again and again, to learn the secret probes
107 H lying metrics are never an input
108 P votes withheld: pending with a reason, and no other slot is blocked
109 R evidence forged from two slots
110 P two certificates for one slot: nothing is accepted until a new epoch
111 R templates, tokenizers, code or pages in the folder
112 R pipes, devices, links or names that differ only in case
113 R escapes, hidden directions, markup or line ends in names
114 H an event log edited or cut: audit says where
115 R DNS rebinding, posts from other sites, tokens in addresses
116 R the admin socket opened by another user
117 Q a worker that allocates, loops, forks or opens a socket
118 H a revocation after the merge: out of the merged adapter within one rebuild
"""


def _attack(line: str) -> Attack:
    number, verdicts, title = line.split(" ", 2)
    return Attack(int(number), title, verdicts)


ATTACKS: Mapping[int, Attack] = {attack.number: attack for attack in map(_attack, _LINES.strip().splitlines())}
"""All attacks by number."""
