from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Statement(_message.Message):
    __slots__ = ("kind", "payload", "key_id", "algorithm", "signature")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    payload: bytes
    key_id: str
    algorithm: str
    signature: bytes
    def __init__(self, kind: _Optional[str] = ..., payload: _Optional[bytes] = ..., key_id: _Optional[str] = ..., algorithm: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("peer", "boot", "seq")
    PEER_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    peer: bytes
    boot: bytes
    seq: int
    def __init__(self, peer: _Optional[bytes] = ..., boot: _Optional[bytes] = ..., seq: _Optional[int] = ...) -> None: ...

class Carried(_message.Message):
    __slots__ = ("statement", "hops", "cause")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    statement: Statement
    hops: int
    cause: Cause
    def __init__(self, statement: _Optional[_Union[Statement, _Mapping]] = ..., hops: _Optional[int] = ..., cause: _Optional[_Union[Cause, _Mapping]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("hello", "welcome", "goodbye", "heartbeat", "push", "i_have", "i_want", "reconcile", "have", "peers", "ack", "dial_back", "dialed_back")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    I_HAVE_FIELD_NUMBER: _ClassVar[int]
    I_WANT_FIELD_NUMBER: _ClassVar[int]
    RECONCILE_FIELD_NUMBER: _ClassVar[int]
    HAVE_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    DIAL_BACK_FIELD_NUMBER: _ClassVar[int]
    DIALED_BACK_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    welcome: Welcome
    goodbye: Goodbye
    heartbeat: Heartbeat
    push: Push
    i_have: IHave
    i_want: IWant
    reconcile: Reconcile
    have: Have
    peers: Peers
    ack: Ack
    dial_back: DialBack
    dialed_back: DialedBack
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., push: _Optional[_Union[Push, _Mapping]] = ..., i_have: _Optional[_Union[IHave, _Mapping]] = ..., i_want: _Optional[_Union[IWant, _Mapping]] = ..., reconcile: _Optional[_Union[Reconcile, _Mapping]] = ..., have: _Optional[_Union[Have, _Mapping]] = ..., peers: _Optional[_Union[Peers, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., dial_back: _Optional[_Union[DialBack, _Mapping]] = ..., dialed_back: _Optional[_Union[DialedBack, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("versions", "features", "swarm", "boot", "epoch_day", "addresses", "dialable", "nickname")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SWARM_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_DAY_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DIALABLE_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedScalarFieldContainer[int]
    features: _containers.RepeatedScalarFieldContainer[str]
    swarm: bytes
    boot: bytes
    epoch_day: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    dialable: bool
    nickname: str
    def __init__(self, versions: _Optional[_Iterable[int]] = ..., features: _Optional[_Iterable[str]] = ..., swarm: _Optional[bytes] = ..., boot: _Optional[bytes] = ..., epoch_day: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., dialable: _Optional[bool] = ..., nickname: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "epoch_day", "features")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_DAY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    version: int
    epoch_day: int
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., epoch_day: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "retry_after_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    retry_after_ms: int
    def __init__(self, reason: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("count", "root", "lag_ms", "wall_ms")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    LAG_MS_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    count: int
    root: bytes
    lag_ms: int
    wall_ms: int
    def __init__(self, count: _Optional[int] = ..., root: _Optional[bytes] = ..., lag_ms: _Optional[int] = ..., wall_ms: _Optional[int] = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("statements",)
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    statements: _containers.RepeatedCompositeFieldContainer[Carried]
    def __init__(self, statements: _Optional[_Iterable[_Union[Carried, _Mapping]]] = ...) -> None: ...

class IHave(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class IWant(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Have(_message.Message):
    __slots__ = ("statements",)
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    statements: _containers.RepeatedCompositeFieldContainer[Carried]
    def __init__(self, statements: _Optional[_Iterable[_Union[Carried, _Mapping]]] = ...) -> None: ...

class IdList(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("upper_bound", "fingerprint", "ids", "reply", "skip")
    UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    upper_bound: bytes
    fingerprint: bytes
    ids: IdList
    reply: IdList
    skip: bool
    def __init__(self, upper_bound: _Optional[bytes] = ..., fingerprint: _Optional[bytes] = ..., ids: _Optional[_Union[IdList, _Mapping]] = ..., reply: _Optional[_Union[IdList, _Mapping]] = ..., skip: _Optional[bool] = ...) -> None: ...

class Reconcile(_message.Message):
    __slots__ = ("ranges", "session", "done")
    RANGES_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    session: int
    done: bool
    def __init__(self, ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., session: _Optional[int] = ..., done: _Optional[bool] = ...) -> None: ...

class PeerEntry(_message.Message):
    __slots__ = ("peer", "addresses")
    PEER_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    peer: bytes
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, peer: _Optional[bytes] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class Peers(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[PeerEntry]
    def __init__(self, peers: _Optional[_Iterable[_Union[PeerEntry, _Mapping]]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DialBack(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class DialTry(_message.Message):
    __slots__ = ("address", "outcome", "took_ms")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    address: str
    outcome: str
    took_ms: int
    def __init__(self, address: _Optional[str] = ..., outcome: _Optional[str] = ..., took_ms: _Optional[int] = ...) -> None: ...

class DialedBack(_message.Message):
    __slots__ = ("number", "seen_host", "tries")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SEEN_HOST_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    number: int
    seen_host: str
    tries: _containers.RepeatedCompositeFieldContainer[DialTry]
    def __init__(self, number: _Optional[int] = ..., seen_host: _Optional[str] = ..., tries: _Optional[_Iterable[_Union[DialTry, _Mapping]]] = ...) -> None: ...

class BulkFrame(_message.Message):
    __slots__ = ("want", "chunk_list", "chunk", "refuse", "cancel")
    WANT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_LIST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    want: Want
    chunk_list: ChunkList
    chunk: Chunk
    refuse: Refuse
    cancel: Cancel
    def __init__(self, want: _Optional[_Union[Want, _Mapping]] = ..., chunk_list: _Optional[_Union[ChunkList, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., refuse: _Optional[_Union[Refuse, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ...) -> None: ...

class Want(_message.Message):
    __slots__ = ("digest", "indexes", "want_list")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    WANT_LIST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    indexes: _containers.RepeatedScalarFieldContainer[int]
    want_list: bool
    def __init__(self, digest: _Optional[bytes] = ..., indexes: _Optional[_Iterable[int]] = ..., want_list: _Optional[bool] = ...) -> None: ...

class ChunkList(_message.Message):
    __slots__ = ("digest", "hashes")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    hashes: bytes
    def __init__(self, digest: _Optional[bytes] = ..., hashes: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("digest", "index", "data")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    index: int
    data: bytes
    def __init__(self, digest: _Optional[bytes] = ..., index: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Refuse(_message.Message):
    __slots__ = ("digest", "reason", "retry_after_ms")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    reason: str
    retry_after_ms: int
    def __init__(self, digest: _Optional[bytes] = ..., reason: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    def __init__(self, digest: _Optional[bytes] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("token", "peer", "nickname")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    peer: bytes
    nickname: str
    def __init__(self, token: _Optional[bytes] = ..., peer: _Optional[bytes] = ..., nickname: _Optional[str] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("swarm", "swarm_name", "secret", "denied", "neighbours", "inviter", "owners")
    SWARM_FIELD_NUMBER: _ClassVar[int]
    SWARM_NAME_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    INVITER_FIELD_NUMBER: _ClassVar[int]
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    swarm: bytes
    swarm_name: str
    secret: bytes
    denied: _containers.RepeatedScalarFieldContainer[bytes]
    neighbours: _containers.RepeatedCompositeFieldContainer[PeerEntry]
    inviter: str
    owners: _containers.RepeatedCompositeFieldContainer[Statement]
    def __init__(self, swarm: _Optional[bytes] = ..., swarm_name: _Optional[str] = ..., secret: _Optional[bytes] = ..., denied: _Optional[_Iterable[bytes]] = ..., neighbours: _Optional[_Iterable[_Union[PeerEntry, _Mapping]]] = ..., inviter: _Optional[str] = ..., owners: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ...) -> None: ...

class OfferRequest(_message.Message):
    __slots__ = ("domain", "base_model")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    domain: str
    base_model: str
    def __init__(self, domain: _Optional[str] = ..., base_model: _Optional[str] = ...) -> None: ...

class Offered(_message.Message):
    __slots__ = ("content_id", "owner", "plasmid_id", "version", "domain", "digest", "size_bytes")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PLASMID_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    content_id: bytes
    owner: bytes
    plasmid_id: str
    version: int
    domain: str
    digest: bytes
    size_bytes: int
    def __init__(self, content_id: _Optional[bytes] = ..., owner: _Optional[bytes] = ..., plasmid_id: _Optional[str] = ..., version: _Optional[int] = ..., domain: _Optional[str] = ..., digest: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class OfferReply(_message.Message):
    __slots__ = ("plasmids", "truncated")
    PLASMIDS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    plasmids: _containers.RepeatedCompositeFieldContainer[Offered]
    truncated: bool
    def __init__(self, plasmids: _Optional[_Iterable[_Union[Offered, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class GetStatementsRequest(_message.Message):
    __slots__ = ("ids", "about")
    IDS_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    about: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[bytes]] = ..., about: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetStatementsReply(_message.Message):
    __slots__ = ("statements",)
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    def __init__(self, statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("digest", "first_chunk")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_CHUNK_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    first_chunk: int
    def __init__(self, digest: _Optional[bytes] = ..., first_chunk: _Optional[int] = ...) -> None: ...

class FetchReply(_message.Message):
    __slots__ = ("chunk_list", "chunk")
    CHUNK_LIST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk_list: ChunkList
    chunk: Chunk
    def __init__(self, chunk_list: _Optional[_Union[ChunkList, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ...) -> None: ...
