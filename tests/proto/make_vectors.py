"""Writes the test vectors beside it, without importing Plora: `python tests/proto/make_vectors.py`.

It is a second implementation of what docs/protocol.md says, from hashlib, PyNaCl and integer arithmetic: DSSE encoding,
ids, Ed25519, RSA-PSS with any salt and hash, DER. Keys come from fixed seeds, so the output never changes; a test
compares it with the committed files.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nacl import bindings

FOLDER = Path(__file__).parent / "vectors"
KINDS = ("manifest", "attestation", "owner", "revocation", "freshness", "vote", "evidence")
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
ED25519_PRIME = 2**255 - 19
SMALL_ORDER = {
    "identity": "0100000000000000000000000000000000000000000000000000000000000000",
    "order 2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "order 4": "0000000000000000000000000000000000000000000000000000000000000000",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "identity, not canonical": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}
OID_ED25519, OID_RSA, OID_PSS = "06032b6570", "06092a864886f70d010101", "06092a864886f70d01010a"
ISSUED, EXPIRES = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
SWARM = hashlib.sha256(b"swarm").hexdigest()


def digest(text: str) -> str:
    """A digest to fill a field with."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: object) -> bytes:
    """RFC 8785 for ASCII text and integers, where it is what json writes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pae(kind: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def der(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(octets)]) + octets + content


def spki(algorithm: bytes, key: bytes) -> bytes:
    """SubjectPublicKeyInfo of an AlgorithmIdentifier's content and the key's bits."""
    return der(0x30, der(0x30, algorithm) + der(0x03, b"\x00" + key))


def ed25519_spki(raw: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a raw Ed25519 public key."""
    return spki(bytes.fromhex(OID_ED25519), raw)


def der_integer(number: int) -> bytes:
    """A positive DER INTEGER."""
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def rsa_spki(modulus: int, exponent: int, oid: str = OID_RSA, parameters: bytes = b"\x05\x00") -> bytes:
    """The SubjectPublicKeyInfo of an RSA key."""
    numbers = der(0x30, der_integer(modulus) + der_integer(exponent))
    return spki(bytes.fromhex(oid) + parameters, numbers)


def stream(seed: str, size: int) -> bytes:
    """Bytes from a seed."""
    blocks = (hashlib.sha256(f"{seed}/{block}".encode()).digest() for block in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def candidates(seed: str, bits: int) -> Iterator[int]:
    """Odd numbers of exactly that many bits with the two highest set."""
    start = int.from_bytes(stream(seed, bits // 8), "big") | (3 << (bits - 2)) | 1
    return iter(range(start, start + 2**20, 2))


def is_prime(number: int) -> bool:
    """Trial division, then Fermat to four bases: enough for numbers that nobody chose."""
    if any(number % small == 0 for small in range(3, 2000, 2)):
        return False
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7))


def rsa_key(seed: str, bits: int, exponent: int = 65537) -> tuple[int, int]:
    """Modulus and private exponent."""
    p, q = (
        next(n for n in candidates(f"{seed}/{side}", bits // 2) if (n - 1) % exponent and is_prime(n)) for side in "pq"
    )
    return p * q, pow(exponent, -1, (p - 1) * (q - 1))


def mgf1(seed: bytes, size: int, hash_name: str) -> bytes:
    """The mask generation function of RFC 8017."""
    made = b""
    for counter in range(size):
        if len(made) >= size:
            break
        made += hashlib.new(hash_name, seed + counter.to_bytes(4, "big")).digest()
    return made[:size]


def pss(key: tuple[int, int], message: bytes, salt_bytes: int = 32, mgf: str = "sha256", name: str = "sha256") -> bytes:
    """An RSA-PSS signature with a salt from a seed (RFC 8017, 9.1.1)."""
    modulus, private = key
    bits = modulus.bit_length() - 1
    size = (bits + 7) // 8
    salt = stream("salt", salt_bytes)
    hashed = hashlib.new(name, bytes(8) + hashlib.new(name, message).digest() + salt).digest()
    block = bytes(size - salt_bytes - len(hashed) - 2) + b"\x01" + salt
    masked = bytes(a ^ b for a, b in zip(block, mgf1(hashed, len(block), mgf), strict=True))
    masked = bytes([masked[0] & (255 >> (8 * size - bits))]) + masked[1:]
    encoded = int.from_bytes(masked + hashed + b"\xbc", "big")
    return pow(encoded, private, modulus).to_bytes((modulus.bit_length() + 7) // 8, "big")


def pkcs1(key: tuple[int, int], message: bytes) -> bytes:
    """A PKCS #1 v1.5 signature with SHA-256."""
    modulus, private = key
    size = (modulus.bit_length() + 7) // 8
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    encoded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return pow(int.from_bytes(encoded, "big"), private, modulus).to_bytes(size, "big")


def text(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


SECRET = hashlib.sha256(b"ada").digest()
PUBLIC, SIGNING = bindings.crypto_sign_seed_keypair(SECRET)
RSA = rsa_key("rsa", 2048)


def ed25519_sign(message: bytes) -> bytes:
    """The signature of the fixed Ed25519 key."""
    return bindings.crypto_sign(message, SIGNING)[:64]


def bodies(key_id: str, algorithm: str, public_key: str) -> dict[str, dict[str, Any]]:
    """One payload of each kind, signed by that key."""
    common = {"schema_version": 0, "swarm": SWARM, "issued": ISSUED}
    keyed = {**common, "key_id": key_id}
    owner, lineage = digest("owner"), digest("lineage")
    slot = {"epoch": digest("epoch"), "owner": owner, "lineage": lineage, "plasmid_id": "legal", "version": 3}
    keys = [{"algorithm": algorithm, "public_key": public_key, "purpose": "sign"}]
    chunks = {"chunk_bytes": 16384, "chunk_count": 3, "chunk_root": digest("root")}
    artifacts = {"filename": "adapter_model.safetensors", "sha256": digest("artifact"), "size_bytes": 40000, **chunks}
    lora = {"r": 4, "alpha": 8, "dropout": 0, "target_modules": ["q_proj", "v_proj"], "use_rslora": False}
    manifest = {
        "plasmid_id": "legal",
        "domain": "legal",
        "base_model": "google/gemma-3-1b-it",
        "peft_format": "lora",
        "base_digest": digest("base"),
        "owner": owner,
        "lineage": lineage,
        "version": 3,
        "expires": EXPIRES,
        "lora": {**lora, "rank_pattern": {}, "alpha_pattern": {}},
        "artifacts": artifacts,
        "metrics": {"val_ppl_before": 12, "val_ppl_after": 8},
        "safety": {"licence": "MIT", "poisoning_score": 0},
        "signer": {"algo": algorithm, "pubkey_fingerprint": key_id},
    }
    freshness = {"trust_version": 1, "revocation_root": digest("r"), "audit_head": digest("a"), "expires": EXPIRES}
    first, second = sorted((digest("one"), digest("two")))
    return {
        "manifest": {**common, **manifest},
        "attestation": {**keyed, "owner": owner, "target": digest("target")},
        "owner": {**keyed, "name": "ada", "version": 1, "keys": keys, "threshold": 1},
        "revocation": {**keyed, "owner": owner, "target_kind": "key", "target": digest("key"), "reason": "stolen"},
        "freshness": {**keyed, "owner": owner, **freshness},
        "vote": {**keyed, "slot": slot, "content": digest("content"), "choice": "ACCEPT"},
        "evidence": {**keyed, "offence": "two_votes", "accused": key_id, "first": first, "second": second},
    }


def statements() -> list[dict[str, str]]:
    """Every kind under both keys: payload, what is signed, id, signature."""
    made = []
    for algorithm, info, sign in (
        ("Ed25519", ed25519_spki(PUBLIC), ed25519_sign),
        ("RSA-PSS-SHA256", rsa_spki(RSA[0], 65537), lambda message: pss(RSA, message)),
    ):
        key_id = hashlib.sha256(info).hexdigest()
        for short, body in bodies(key_id, algorithm, text(info)).items():
            kind = f"application/vnd.plora.{short}.v1+json"
            payload = canonical(body)
            name = hashlib.sha256(b"plora/statement/v1\x00" + kind.encode() + b"\x00" + payload).hexdigest()
            made.append(
                {
                    "kind": kind,
                    "payload": payload.decode(),
                    "id": name,
                    "algorithm": algorithm,
                    "signed_sha256": hashlib.sha256(pae(kind, payload)).hexdigest(),
                    "key_id": key_id,
                    "public_key": text(info),
                    "signature": text(sign(pae(kind, payload))),
                }
            )
    return made


def keys() -> list[dict[str, object]]:
    """Public keys, good and bad; `refused` is a word of the reason, null for a good key."""
    small = rsa_key("small", 1024)[0]
    mixed = bindings.crypto_core_ed25519_add(PUBLIC, bytes.fromhex(SMALL_ORDER["order 8"]))
    good = [("Ed25519", ed25519_spki(PUBLIC)), ("RSA, 2048 bits", rsa_spki(RSA[0], 65537))]
    weak = [(f"Ed25519, {name}", ed25519_spki(bytes.fromhex(raw)), "weak") for name, raw in SMALL_ORDER.items()]
    bad = [
        *weak,
        ("Ed25519, mixed order", ed25519_spki(mixed), "weak"),
        ("Ed25519, not canonical", ed25519_spki(_non_canonical_point()), "weak"),
        ("RSA, 1024 bits", rsa_spki(small, 65537), "1024 bits"),
        ("RSA, 8192 bits", rsa_spki((1 << 8191) + 1, 65537), "8192 bits"),
        ("RSA, e = 3", rsa_spki(RSA[0], 3), "exponent 3"),
        ("RSA, PSS OID", rsa_spki(RSA[0], 65537, OID_PSS, b""), "encoding"),
        ("RSA, no NULL", rsa_spki(RSA[0], 65537, parameters=b""), "public key"),
        ("trailing byte", ed25519_spki(PUBLIC) + b"\x00", "public key"),
        ("nothing", b"", "public key"),
    ]
    return [
        {"name": name, "public_key": text(info), "key_id": key_id, "refused": reason}
        for name, info, key_id, reason in (
            *((name, info, hashlib.sha256(info).hexdigest(), None) for name, info in good),
            *((name, info, None, reason) for name, info, reason in bad),
        )
    ]


def _non_canonical_point() -> bytes:
    """y + p for a y below 19 that is on the curve."""
    for y in range(2, 19):
        if bindings.crypto_core_ed25519_is_valid_point(y.to_bytes(32, "little")):
            return (y + ED25519_PRIME).to_bytes(32, "little")
    return (3 + ED25519_PRIME).to_bytes(32, "little")


def signatures() -> list[dict[str, object]]:
    """Signatures over one message, good and bad."""
    message = b"message"
    good = ed25519_sign(message)
    s = int.from_bytes(good[32:], "little")
    ed25519 = [
        ("Ed25519", good, True),
        ("Ed25519, S + L", good[:32] + (s + ED25519_ORDER).to_bytes(32, "little"), False),
        ("Ed25519, S + 2L", good[:32] + (s + 2 * ED25519_ORDER).to_bytes(32, "little"), False),
        *((f"Ed25519, {size} bytes", (good * 2)[:size], False) for size in (0, 63, 65, 128)),
    ]
    rsa = [
        ("RSA-PSS", pss(RSA, message), True),
        *((f"RSA-PSS, salt of {size}", pss(RSA, message, size), False) for size in (0, 20, 31, 33, 222)),
        ("RSA-PSS, MGF1 with SHA-1", pss(RSA, message, mgf="sha1"), False),
        ("RSA-PSS, SHA-1", pss(RSA, message, name="sha1"), False),
        ("RSA, PKCS #1 v1.5", pkcs1(RSA, message), False),
        ("RSA-PSS, one byte short", pss(RSA, message)[:-1], False),
        ("RSA-PSS, zero before", b"\x00" + pss(RSA, message), False),
    ]
    return [
        {"name": name, "public_key": text(info), "message": message.decode(), "signature": text(made), "valid": valid}
        for info, cases in ((ed25519_spki(PUBLIC), ed25519), (rsa_spki(RSA[0], 65537), rsa))
        for name, made, valid in cases
    ]


def chunks() -> list[dict[str, object]]:
    """Bytes 0, 1, ..., 250, 0, 1, ... of several sizes, cut into chunks."""
    made: list[dict[str, object]] = []
    for size in (1, 16_384, 16_385, 49_152, 100_000):
        data = bytes(place % 251 for place in range(size))
        hashes = [hashlib.sha256(data[at : at + 16_384]).digest() for at in range(0, size, 16_384)]
        root = hashlib.sha256(b"plora/chunks/v1\x00" + b"".join(hashes)).hexdigest()
        listed = [one.hex() for one in hashes]
        made.append({"size_bytes": size, "chunk_bytes": 16_384, "hashes": listed, "root": root})
    return made


def sha256_context() -> list[dict[str, str]]:
    """What `sign_sha256_hex` signs."""
    signed = pae("application/vnd.plora.sha256.v1+json", canonical({"sha256": digest("artifact")}))
    key = text(ed25519_spki(PUBLIC))
    return [{"sha256": digest("artifact"), "public_key": key, "signature": text(ed25519_sign(signed))}]


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without salt, 32 bytes (RFC 5869)."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def bech32m(prefix: str, data: bytes) -> str:
    """BIP-350 text, with its checksum as a remainder of polynomials over GF(32), and no limit of length."""
    bits = int.from_bytes(data, "big") << -len(data) * 8 % 5
    count = -(-len(data) * 8 // 5)
    values = [bits >> 5 * (count - 1 - place) & 31 for place in range(count)]
    residue = 1
    for value in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values, *[0] * 6]:
        top, residue = residue >> 25, (residue & 0x1FFFFFF) << 5 ^ value
        for place, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            residue ^= factor * (top >> place & 1)
    residue ^= 0x2BC830A3
    values += [residue >> 5 * (5 - place) & 31 for place in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values)


def tickets() -> list[dict[str, object]]:
    """Tickets as text, the public key that each stands for, and the places in the word list of the three words."""
    made: list[dict[str, object]] = []
    for name, addresses in (("bob", ["192.0.2.1:4700"]), ("b", ["ada.example:4700", "[2001:db8::1]:65535"])):
        token, inviter, joiner = (hashlib.sha256(f"{what} {name}".encode()).digest() for what in ("token", "a", "b"))
        times = (1_767_225_600).to_bytes(4, "big") + (1_767_312_000).to_bytes(4, "big")
        texts = b"".join(bytes([len(one)]) + one.encode() for one in (name, *addresses))
        data = b"\x01" + inviter + token[:16] + bytes.fromhex(SWARM)[:4] + times + texts
        public, _ = bindings.crypto_sign_seed_keypair(hkdf(token[:16], b"plora/invitation/v1"))
        met = hashlib.sha256(b"\x00".join((b"plora/meeting/v1", inviter, joiner, public))).digest()
        bits = int.from_bytes(met, "big")
        fields: dict[str, object] = {
            "token": token[:16].hex(),
            "peer": inviter.hex(),
            "name": name,
            "addresses": addresses,
        }
        fields |= {"swarm": SWARM[:8], "made_s": 1_767_225_600, "expires_s": 1_767_312_000}
        words = [bits >> 256 - 11 * place & 2047 for place in (1, 2, 3)]
        fields |= {"text": bech32m("plora", data), "public_key": public.hex(), "joiner": joiner.hex(), "words": words}
        made.append(fields)
    return made


def derived() -> list[dict[str, Any]]:
    """What else hashes and keys are made of: sets of revocations, open swarms, marks, epochs."""
    ids = [hashlib.sha256(name).digest() for name in (b"three", b"one", b"two")]
    open_swarm = {
        part: hashlib.sha256(b"\x00".join((b"plora/open-swarm/v1", part.encode(), b"walk"))).hexdigest()
        for part in ("id", "secret")
    }
    secret = hashlib.sha256(b"secret").digest()
    mark, _ = bindings.crypto_sign_seed_keypair(hkdf(secret, b"plora/mark/v1"))
    infos = [ed25519_spki(key_pair(name)[0]) for name in ("member one", "member two")]
    members = [
        {"name": f"m{number}", "key": text(info), "peer": digest(f"peer {number}")} for number, info in enumerate(infos)
    ]
    in_order = sorted(members, key=lambda one: hashlib.sha256(base64.b64decode(one["key"])).hexdigest())
    block = {"swarm": SWARM, "number": 1, "quorum": 2, "members": in_order}
    epoch = hashlib.sha256(b"plora/epoch/v1\x00" + canonical(block)).hexdigest()
    root = hashlib.sha256(b"plora/revocations/v1\x00" + b"".join(sorted(ids))).hexdigest()
    return [
        {"what": "revocations", "ids": [one.hex() for one in ids], "root": root},
        {"what": "open swarm", "name": "walk", **open_swarm},
        {"what": "mark", "secret": secret.hex(), "public_key": mark.hex()},
        {
            "what": "epoch",
            **{name: block[name] for name in ("swarm", "number", "quorum")},
            "members": members,
            "id": epoch,
        },
    ]


def key_pair(name: str) -> tuple[bytes, bytes]:
    """The Ed25519 public key and secret of a name."""
    public, secret = bindings.crypto_sign_seed_keypair(hashlib.sha256(name.encode()).digest())
    return public, secret


def signed_by(name: str, short: str, body: dict[str, Any]) -> dict[str, str]:
    """A statement of that kind by the key of a name."""
    public, secret = key_pair(name)
    info = ed25519_spki(public)
    payload = canonical({"schema_version": 0, "swarm": SWARM, "issued": ISSUED, **body, "key_id": key_id_of(name)})
    kind = f"application/vnd.plora.{short}.v1+json"
    return {
        "kind": kind,
        "payload": payload.decode(),
        "id": hashlib.sha256(b"plora/statement/v1\x00" + kind.encode() + b"\x00" + payload).hexdigest(),
        "algorithm": "Ed25519",
        "key_id": hashlib.sha256(info).hexdigest(),
        "signature": text(bindings.crypto_sign(pae(kind, payload), secret)[:64]),
    }


def key_id_of(name: str) -> str:
    """The id of the key of a name."""
    return hashlib.sha256(ed25519_spki(key_pair(name)[0])).hexdigest()


def listed(*names: str) -> list[dict[str, str]]:
    """The keys of these names as an owner record lists them."""
    return [
        {"algorithm": "Ed25519", "public_key": text(ed25519_spki(key_pair(name)[0])), "purpose": "sign"}
        for name in names
    ]


def rotation() -> dict[str, Any]:
    """Two of three keys revoke the third and rotate into a new lineage; the third tries to rotate too."""
    first = signed_by("k1", "owner", {"name": "house", "version": 1, "keys": listed("k1", "k2", "k3"), "threshold": 2})
    owner = first["id"]
    follows = {"name": "house", "version": 2, "owner": owner, "previous": owner}
    second = signed_by("k1", "owner", {**follows, "keys": listed("k1", "k2", "k4"), "threshold": 2})
    thiefs = signed_by("k3", "owner", {**follows, "keys": listed("k3"), "threshold": 1})
    void = {"owner": owner, "target_kind": "key", "target": key_id_of("k3"), "reason": "stolen"}
    revocation = signed_by("k1", "revocation", void)
    witnesses = [
        signed_by("k2", "attestation", {"owner": owner, "target": target["id"]}) for target in (second, revocation)
    ]
    return {
        "statements": [first, revocation, second, thiefs, *witnesses],
        "owner": owner,
        "record": second["id"],
        "current": sorted(map(key_id_of, ("k1", "k2", "k4"))),
        "void": [key_id_of("k3")],
        "threshold": 2,
        "lineages": [owner, second["id"]],
    }


def documents() -> dict[str, str]:
    """File name to text."""
    made = {
        "statements": statements(),
        "keys": keys(),
        "signatures": signatures(),
        "chunks": chunks(),
        "sha256_context": sha256_context(),
        "tickets": tickets(),
        "derived": derived(),
        "rotation": [rotation()],
    }
    return {f"{name}.json": json.dumps(content, indent=1, sort_keys=True) + "\n" for name, content in made.items()}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
