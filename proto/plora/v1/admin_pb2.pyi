from plora.v1 import peer_pb2 as _peer_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CopyRowsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CopyRowsReply(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class ConsensusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConsensusReply(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: str
    def __init__(self, document: _Optional[str] = ...) -> None: ...

class CertificateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CertificateReply(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("name", "peer", "swarm", "version", "boot", "uptime_ms", "listen", "links", "statements", "plasmids_held", "plasmids_accepted", "plasmids_waiting", "store_bytes", "round", "root", "warnings", "plasmids", "swarm_name", "neighbours", "store_bytes_max", "disk_free_bytes", "disk_free_bytes_min", "sent_bytes", "received_bytes", "sent_bytes_s", "received_bytes_s", "upload_bytes_s_max", "examining")
    class PlasmidsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SWARM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    UPTIME_MS_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    PLASMIDS_HELD_FIELD_NUMBER: _ClassVar[int]
    PLASMIDS_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PLASMIDS_WAITING_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PLASMIDS_FIELD_NUMBER: _ClassVar[int]
    SWARM_NAME_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_MIN_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_S_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_S_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_BYTES_S_MAX_FIELD_NUMBER: _ClassVar[int]
    EXAMINING_FIELD_NUMBER: _ClassVar[int]
    name: str
    peer: str
    swarm: str
    version: str
    boot: str
    uptime_ms: int
    listen: str
    links: int
    statements: int
    plasmids_held: int
    plasmids_accepted: int
    plasmids_waiting: int
    store_bytes: int
    round: int
    root: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    plasmids: _containers.ScalarMap[str, int]
    swarm_name: str
    neighbours: int
    store_bytes_max: int
    disk_free_bytes: int
    disk_free_bytes_min: int
    sent_bytes: int
    received_bytes: int
    sent_bytes_s: int
    received_bytes_s: int
    upload_bytes_s_max: int
    examining: int
    def __init__(self, name: _Optional[str] = ..., peer: _Optional[str] = ..., swarm: _Optional[str] = ..., version: _Optional[str] = ..., boot: _Optional[str] = ..., uptime_ms: _Optional[int] = ..., listen: _Optional[str] = ..., links: _Optional[int] = ..., statements: _Optional[int] = ..., plasmids_held: _Optional[int] = ..., plasmids_accepted: _Optional[int] = ..., plasmids_waiting: _Optional[int] = ..., store_bytes: _Optional[int] = ..., round: _Optional[int] = ..., root: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., plasmids: _Optional[_Mapping[str, int]] = ..., swarm_name: _Optional[str] = ..., neighbours: _Optional[int] = ..., store_bytes_max: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., disk_free_bytes_min: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes_s: _Optional[int] = ..., received_bytes_s: _Optional[int] = ..., upload_bytes_s_max: _Optional[int] = ..., examining: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("domain", "state")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    state: str
    def __init__(self, domain: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class Plasmid(_message.Message):
    __slots__ = ("name", "content_id", "owner", "domain", "base_model", "state", "percent", "outcome", "stage", "reason", "size_bytes", "own", "accepted_wall_ms", "seen_wall_ms", "sha256", "folder", "sentence", "limit", "pinned")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    SEEN_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    name: str
    content_id: str
    owner: str
    domain: str
    base_model: str
    state: str
    percent: float
    outcome: str
    stage: str
    reason: str
    size_bytes: int
    own: bool
    accepted_wall_ms: int
    seen_wall_ms: int
    sha256: str
    folder: str
    sentence: str
    limit: str
    pinned: bool
    def __init__(self, name: _Optional[str] = ..., content_id: _Optional[str] = ..., owner: _Optional[str] = ..., domain: _Optional[str] = ..., base_model: _Optional[str] = ..., state: _Optional[str] = ..., percent: _Optional[float] = ..., outcome: _Optional[str] = ..., stage: _Optional[str] = ..., reason: _Optional[str] = ..., size_bytes: _Optional[int] = ..., own: _Optional[bool] = ..., accepted_wall_ms: _Optional[int] = ..., seen_wall_ms: _Optional[int] = ..., sha256: _Optional[str] = ..., folder: _Optional[str] = ..., sentence: _Optional[str] = ..., limit: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class ListReply(_message.Message):
    __slots__ = ("plasmids",)
    PLASMIDS_FIELD_NUMBER: _ClassVar[int]
    plasmids: _containers.RepeatedCompositeFieldContainer[Plasmid]
    def __init__(self, plasmids: _Optional[_Iterable[_Union[Plasmid, _Mapping]]] = ...) -> None: ...

class ShowRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ShowReply(_message.Message):
    __slots__ = ("plasmid", "yaml")
    PLASMID_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    plasmid: Plasmid
    yaml: str
    def __init__(self, plasmid: _Optional[_Union[Plasmid, _Mapping]] = ..., yaml: _Optional[str] = ...) -> None: ...

class WhyRequest(_message.Message):
    __slots__ = ("name", "found")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    name: str
    found: bool
    def __init__(self, name: _Optional[str] = ..., found: _Optional[bool] = ...) -> None: ...

class WhyReply(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: str
    def __init__(self, document: _Optional[str] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("folder", "statements")
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    folder: str
    statements: _containers.RepeatedCompositeFieldContainer[_peer_pb2.Statement]
    def __init__(self, folder: _Optional[str] = ..., statements: _Optional[_Iterable[_Union[_peer_pb2.Statement, _Mapping]]] = ...) -> None: ...

class PublishReply(_message.Message):
    __slots__ = ("name", "content_id", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    content_id: str
    note: str
    def __init__(self, name: _Optional[str] = ..., content_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class FetchPlasmidRequest(_message.Message):
    __slots__ = ("name", "target")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    name: str
    target: str
    def __init__(self, name: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class FetchPlasmidReply(_message.Message):
    __slots__ = ("content_id", "state", "folder")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    state: str
    folder: str
    def __init__(self, content_id: _Optional[str] = ..., state: _Optional[str] = ..., folder: _Optional[str] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("name", "pinned")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pinned: bool
    def __init__(self, name: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class PinReply(_message.Message):
    __slots__ = ("content_id", "name")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    name: str
    def __init__(self, content_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveReply(_message.Message):
    __slots__ = ("content_id", "name")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    name: str
    def __init__(self, content_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ("content_id", "name", "document")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    name: str
    document: str
    def __init__(self, content_id: _Optional[str] = ..., name: _Optional[str] = ..., document: _Optional[str] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("revocation",)
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    revocation: _peer_pb2.Statement
    def __init__(self, revocation: _Optional[_Union[_peer_pb2.Statement, _Mapping]] = ...) -> None: ...

class RevokeReply(_message.Message):
    __slots__ = ("statement_id", "note")
    STATEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    statement_id: str
    note: str
    def __init__(self, statement_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ListPeersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerInfo(_message.Message):
    __slots__ = ("peer", "nickname", "address", "state", "outbound", "rtt_ms", "statements", "last_seen_wall_ms", "configured", "last_error", "host", "addresses", "dialable", "ahead_ms", "words", "reputation")
    PEER_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DIALABLE_FIELD_NUMBER: _ClassVar[int]
    AHEAD_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    REPUTATION_FIELD_NUMBER: _ClassVar[int]
    peer: str
    nickname: str
    address: str
    state: str
    outbound: bool
    rtt_ms: int
    statements: int
    last_seen_wall_ms: int
    configured: bool
    last_error: str
    host: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    dialable: bool
    ahead_ms: int
    words: str
    reputation: ReputationInfo
    def __init__(self, peer: _Optional[str] = ..., nickname: _Optional[str] = ..., address: _Optional[str] = ..., state: _Optional[str] = ..., outbound: _Optional[bool] = ..., rtt_ms: _Optional[int] = ..., statements: _Optional[int] = ..., last_seen_wall_ms: _Optional[int] = ..., configured: _Optional[bool] = ..., last_error: _Optional[str] = ..., host: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., dialable: _Optional[bool] = ..., ahead_ms: _Optional[int] = ..., words: _Optional[str] = ..., reputation: _Optional[_Union[ReputationInfo, _Mapping]] = ...) -> None: ...

class ListPeersReply(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[PeerInfo]
    def __init__(self, peers: _Optional[_Iterable[_Union[PeerInfo, _Mapping]]] = ...) -> None: ...

class EventsRequest(_message.Message):
    __slots__ = ("follow", "after_seq", "kinds")
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    follow: bool
    after_seq: int
    kinds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, follow: _Optional[bool] = ..., after_seq: _Optional[int] = ..., kinds: _Optional[_Iterable[str]] = ...) -> None: ...

class EventsReply(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: str
    def __init__(self, line: _Optional[str] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ("trust_only",)
    TRUST_ONLY_FIELD_NUMBER: _ClassVar[int]
    trust_only: bool
    def __init__(self, trust_only: _Optional[bool] = ...) -> None: ...

class ReloadReply(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed: _Optional[_Iterable[str]] = ...) -> None: ...

class MergesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MergeInfo(_message.Message):
    __slots__ = ("base_model", "generation", "inputs", "weights", "discarded_energy", "folder", "wall_ms", "newest", "before", "rank", "trouble", "contributions", "kept", "measure", "probed")
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_ENERGY_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    PROBED_FIELD_NUMBER: _ClassVar[int]
    base_model: str
    generation: int
    inputs: _containers.RepeatedScalarFieldContainer[str]
    weights: _containers.RepeatedScalarFieldContainer[float]
    discarded_energy: float
    folder: str
    wall_ms: int
    newest: int
    before: _containers.RepeatedScalarFieldContainer[int]
    rank: int
    trouble: str
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    kept: _containers.RepeatedCompositeFieldContainer[KeptMerge]
    measure: Measure
    probed: str
    def __init__(self, base_model: _Optional[str] = ..., generation: _Optional[int] = ..., inputs: _Optional[_Iterable[str]] = ..., weights: _Optional[_Iterable[float]] = ..., discarded_energy: _Optional[float] = ..., folder: _Optional[str] = ..., wall_ms: _Optional[int] = ..., newest: _Optional[int] = ..., before: _Optional[_Iterable[int]] = ..., rank: _Optional[int] = ..., trouble: _Optional[str] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., kept: _Optional[_Iterable[_Union[KeptMerge, _Mapping]]] = ..., measure: _Optional[_Union[Measure, _Mapping]] = ..., probed: _Optional[str] = ...) -> None: ...

class KeptMerge(_message.Message):
    __slots__ = ("generation", "folder")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    generation: int
    folder: str
    def __init__(self, generation: _Optional[int] = ..., folder: _Optional[str] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class DomainMeasure(_message.Message):
    __slots__ = ("domain", "documents", "base", "before", "after", "change")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    documents: int
    base: Estimate
    before: Estimate
    after: Estimate
    change: Estimate
    def __init__(self, domain: _Optional[str] = ..., documents: _Optional[int] = ..., base: _Optional[_Union[Estimate, _Mapping]] = ..., before: _Optional[_Union[Estimate, _Mapping]] = ..., after: _Optional[_Union[Estimate, _Mapping]] = ..., change: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("generation", "before", "domains", "by", "wall_ms")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WALL_MS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    before: int
    domains: _containers.RepeatedCompositeFieldContainer[DomainMeasure]
    by: str
    wall_ms: int
    def __init__(self, generation: _Optional[int] = ..., before: _Optional[int] = ..., domains: _Optional[_Iterable[_Union[DomainMeasure, _Mapping]]] = ..., by: _Optional[str] = ..., wall_ms: _Optional[int] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("name", "content_id", "domain", "weight", "norm_alone", "norm_merged", "left_out", "copy_of")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NORM_ALONE_FIELD_NUMBER: _ClassVar[int]
    NORM_MERGED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    COPY_OF_FIELD_NUMBER: _ClassVar[int]
    name: str
    content_id: str
    domain: str
    weight: float
    norm_alone: float
    norm_merged: float
    left_out: str
    copy_of: str
    def __init__(self, name: _Optional[str] = ..., content_id: _Optional[str] = ..., domain: _Optional[str] = ..., weight: _Optional[float] = ..., norm_alone: _Optional[float] = ..., norm_merged: _Optional[float] = ..., left_out: _Optional[str] = ..., copy_of: _Optional[str] = ...) -> None: ...

class MergesReply(_message.Message):
    __slots__ = ("merges",)
    MERGES_FIELD_NUMBER: _ClassVar[int]
    merges: _containers.RepeatedCompositeFieldContainer[MergeInfo]
    def __init__(self, merges: _Optional[_Iterable[_Union[MergeInfo, _Mapping]]] = ...) -> None: ...

class MeasuredRequest(_message.Message):
    __slots__ = ("base_model", "measure")
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    base_model: str
    measure: Measure
    def __init__(self, base_model: _Optional[str] = ..., measure: _Optional[_Union[Measure, _Mapping]] = ...) -> None: ...

class MeasuredReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Dialed(_message.Message):
    __slots__ = ("address", "outcome", "what", "took_ms")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    TOOK_MS_FIELD_NUMBER: _ClassVar[int]
    address: str
    outcome: str
    what: str
    took_ms: int
    def __init__(self, address: _Optional[str] = ..., outcome: _Optional[str] = ..., what: _Optional[str] = ..., took_ms: _Optional[int] = ...) -> None: ...

class PingReply(_message.Message):
    __slots__ = ("peer", "nickname", "linked", "there", "back", "answered", "seen_host", "good", "mends")
    PEER_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    LINKED_FIELD_NUMBER: _ClassVar[int]
    THERE_FIELD_NUMBER: _ClassVar[int]
    BACK_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    SEEN_HOST_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    MENDS_FIELD_NUMBER: _ClassVar[int]
    peer: str
    nickname: str
    linked: bool
    there: _containers.RepeatedCompositeFieldContainer[Dialed]
    back: _containers.RepeatedCompositeFieldContainer[Dialed]
    answered: bool
    seen_host: str
    good: bool
    mends: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, peer: _Optional[str] = ..., nickname: _Optional[str] = ..., linked: _Optional[bool] = ..., there: _Optional[_Iterable[_Union[Dialed, _Mapping]]] = ..., back: _Optional[_Iterable[_Union[Dialed, _Mapping]]] = ..., answered: _Optional[bool] = ..., seen_host: _Optional[str] = ..., good: _Optional[bool] = ..., mends: _Optional[_Iterable[str]] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("base_model", "forward")
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    base_model: str
    forward: bool
    def __init__(self, base_model: _Optional[str] = ..., forward: _Optional[bool] = ...) -> None: ...

class RollbackReply(_message.Message):
    __slots__ = ("base_model", "before", "generation", "folder")
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    base_model: str
    before: int
    generation: int
    folder: str
    def __init__(self, base_model: _Optional[str] = ..., before: _Optional[int] = ..., generation: _Optional[int] = ..., folder: _Optional[str] = ...) -> None: ...

class LocateRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class LocateReply(_message.Message):
    __slots__ = ("name", "folder", "target", "base_model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BASE_MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    folder: str
    target: str
    base_model: str
    def __init__(self, name: _Optional[str] = ..., folder: _Optional[str] = ..., target: _Optional[str] = ..., base_model: _Optional[str] = ...) -> None: ...

class TransfersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChunkRun(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: str
    count: int
    def __init__(self, state: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("name", "content_id", "digest", "size_bytes", "stored_bytes", "state", "source", "sources", "rate_bytes_s", "wire_bytes", "wasted_bytes", "resumed_bytes", "chunks", "limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_S_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WASTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESUMED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content_id: str
    digest: str
    size_bytes: int
    stored_bytes: int
    state: str
    source: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    rate_bytes_s: int
    wire_bytes: int
    wasted_bytes: int
    resumed_bytes: int
    chunks: _containers.RepeatedCompositeFieldContainer[ChunkRun]
    limit: str
    def __init__(self, name: _Optional[str] = ..., content_id: _Optional[str] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., state: _Optional[str] = ..., source: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., rate_bytes_s: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., wasted_bytes: _Optional[int] = ..., resumed_bytes: _Optional[int] = ..., chunks: _Optional[_Iterable[_Union[ChunkRun, _Mapping]]] = ..., limit: _Optional[str] = ...) -> None: ...

class TransfersReply(_message.Message):
    __slots__ = ("transfers", "left_out", "sent_bytes")
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    left_out: int
    sent_bytes: int
    def __init__(self, transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ..., left_out: _Optional[int] = ..., sent_bytes: _Optional[int] = ...) -> None: ...

class WebRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WebReply(_message.Message):
    __slots__ = ("url", "token_file")
    URL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FILE_FIELD_NUMBER: _ClassVar[int]
    url: str
    token_file: str
    def __init__(self, url: _Optional[str] = ..., token_file: _Optional[str] = ...) -> None: ...

class InviteRequest(_message.Message):
    __slots__ = ("name", "addresses", "hours")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    name: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    hours: int
    def __init__(self, name: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., hours: _Optional[int] = ...) -> None: ...

class InviteReply(_message.Message):
    __slots__ = ("ticket", "addresses", "expires_wall_ms")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    expires_wall_ms: int
    def __init__(self, ticket: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., expires_wall_ms: _Optional[int] = ...) -> None: ...

class InvitationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InvitationInfo(_message.Message):
    __slots__ = ("name", "state", "made_wall_ms", "expires_wall_ms", "peer", "joined_wall_ms", "words")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MADE_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    JOINED_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    made_wall_ms: int
    expires_wall_ms: int
    peer: str
    joined_wall_ms: int
    words: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., made_wall_ms: _Optional[int] = ..., expires_wall_ms: _Optional[int] = ..., peer: _Optional[str] = ..., joined_wall_ms: _Optional[int] = ..., words: _Optional[str] = ...) -> None: ...

class InvitationsReply(_message.Message):
    __slots__ = ("invitations",)
    INVITATIONS_FIELD_NUMBER: _ClassVar[int]
    invitations: _containers.RepeatedCompositeFieldContainer[InvitationInfo]
    def __init__(self, invitations: _Optional[_Iterable[_Union[InvitationInfo, _Mapping]]] = ...) -> None: ...

class RevokeInvitationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RevokeInvitationReply(_message.Message):
    __slots__ = ("revoked",)
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    revoked: int
    def __init__(self, revoked: _Optional[int] = ...) -> None: ...

class OwnersRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class OwnerInfo(_message.Message):
    __slots__ = ("owner", "name", "nickname", "distrusted", "record", "waiting", "waiting_count", "since_wall_ms")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NICKNAME_FIELD_NUMBER: _ClassVar[int]
    DISTRUSTED_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    SINCE_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    name: str
    nickname: str
    distrusted: bool
    record: _peer_pb2.Statement
    waiting: _containers.RepeatedScalarFieldContainer[str]
    waiting_count: int
    since_wall_ms: int
    def __init__(self, owner: _Optional[str] = ..., name: _Optional[str] = ..., nickname: _Optional[str] = ..., distrusted: _Optional[bool] = ..., record: _Optional[_Union[_peer_pb2.Statement, _Mapping]] = ..., waiting: _Optional[_Iterable[str]] = ..., waiting_count: _Optional[int] = ..., since_wall_ms: _Optional[int] = ...) -> None: ...

class OwnersReply(_message.Message):
    __slots__ = ("owners", "strangers", "strangers_max")
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    STRANGERS_FIELD_NUMBER: _ClassVar[int]
    STRANGERS_MAX_FIELD_NUMBER: _ClassVar[int]
    owners: _containers.RepeatedCompositeFieldContainer[OwnerInfo]
    strangers: int
    strangers_max: int
    def __init__(self, owners: _Optional[_Iterable[_Union[OwnerInfo, _Mapping]]] = ..., strangers: _Optional[int] = ..., strangers_max: _Optional[int] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class JudgeReply(_message.Message):
    __slots__ = ("plasmid", "document", "passed")
    PLASMID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    plasmid: Plasmid
    document: str
    passed: bool
    def __init__(self, plasmid: _Optional[_Union[Plasmid, _Mapping]] = ..., document: _Optional[str] = ..., passed: _Optional[bool] = ...) -> None: ...

class AttestRequest(_message.Message):
    __slots__ = ("attestation", "statements")
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    attestation: _peer_pb2.Statement
    statements: _containers.RepeatedCompositeFieldContainer[_peer_pb2.Statement]
    def __init__(self, attestation: _Optional[_Union[_peer_pb2.Statement, _Mapping]] = ..., statements: _Optional[_Iterable[_Union[_peer_pb2.Statement, _Mapping]]] = ...) -> None: ...

class AttestReply(_message.Message):
    __slots__ = ("statement_id", "document")
    STATEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    statement_id: str
    document: str
    def __init__(self, statement_id: _Optional[str] = ..., document: _Optional[str] = ...) -> None: ...

class AuditRequest(_message.Message):
    __slots__ = ("newest",)
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    newest: int
    def __init__(self, newest: _Optional[int] = ...) -> None: ...

class AuditReply(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: str
    def __init__(self, line: _Optional[str] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ("heads", "last")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedScalarFieldContainer[str]
    last: bool
    def __init__(self, heads: _Optional[_Iterable[str]] = ..., last: _Optional[bool] = ...) -> None: ...

class VerifyAuditReply(_message.Message):
    __slots__ = ("start", "end", "head", "notes", "faults", "verified_wall_ms", "entries_max")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_MAX_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    head: str
    notes: int
    faults: _containers.RepeatedCompositeFieldContainer[AuditFault]
    verified_wall_ms: int
    entries_max: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., head: _Optional[str] = ..., notes: _Optional[int] = ..., faults: _Optional[_Iterable[_Union[AuditFault, _Mapping]]] = ..., verified_wall_ms: _Optional[int] = ..., entries_max: _Optional[int] = ...) -> None: ...

class AuditFault(_message.Message):
    __slots__ = ("entry", "what", "note", "acknowledged_wall_ms")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    entry: int
    what: str
    note: str
    acknowledged_wall_ms: int
    def __init__(self, entry: _Optional[int] = ..., what: _Optional[str] = ..., note: _Optional[str] = ..., acknowledged_wall_ms: _Optional[int] = ...) -> None: ...

class AcknowledgeAuditRequest(_message.Message):
    __slots__ = ("entry", "note")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    entry: int
    note: str
    def __init__(self, entry: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class BeliefsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BeliefsReply(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: str
    def __init__(self, document: _Optional[str] = ...) -> None: ...

class FreshnessRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FreshnessReply(_message.Message):
    __slots__ = ("state", "signed", "required", "until_wall_ms", "trust_version", "revocation_root", "audit_head", "signed_time_wall_ms")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    UNTIL_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    TRUST_VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_ROOT_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    SIGNED_TIME_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    state: str
    signed: _containers.RepeatedScalarFieldContainer[str]
    required: int
    until_wall_ms: int
    trust_version: int
    revocation_root: str
    audit_head: str
    signed_time_wall_ms: int
    def __init__(self, state: _Optional[str] = ..., signed: _Optional[_Iterable[str]] = ..., required: _Optional[int] = ..., until_wall_ms: _Optional[int] = ..., trust_version: _Optional[int] = ..., revocation_root: _Optional[str] = ..., audit_head: _Optional[str] = ..., signed_time_wall_ms: _Optional[int] = ...) -> None: ...

class RootRequest(_message.Message):
    __slots__ = ("target_kind", "target")
    TARGET_KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target_kind: str
    target: str
    def __init__(self, target_kind: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class RootReply(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: str
    def __init__(self, document: _Optional[str] = ...) -> None: ...

class IntroduceRequest(_message.Message):
    __slots__ = ("statements",)
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    statements: _containers.RepeatedCompositeFieldContainer[_peer_pb2.Statement]
    def __init__(self, statements: _Optional[_Iterable[_Union[_peer_pb2.Statement, _Mapping]]] = ...) -> None: ...

class IntroduceReply(_message.Message):
    __slots__ = ("owner", "record", "note")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    owner: str
    record: str
    note: str
    def __init__(self, owner: _Optional[str] = ..., record: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class DoctorRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Finding(_message.Message):
    __slots__ = ("check", "what", "mend")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    MEND_FIELD_NUMBER: _ClassVar[int]
    check: str
    what: str
    mend: str
    def __init__(self, check: _Optional[str] = ..., what: _Optional[str] = ..., mend: _Optional[str] = ...) -> None: ...

class DoctorReply(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class LanRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LanPeer(_message.Message):
    __slots__ = ("peer", "addresses", "state")
    PEER_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    peer: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    state: str
    def __init__(self, peer: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ...) -> None: ...

class LanReply(_message.Message):
    __slots__ = ("on", "peers")
    ON_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    on: bool
    peers: _containers.RepeatedCompositeFieldContainer[LanPeer]
    def __init__(self, on: _Optional[bool] = ..., peers: _Optional[_Iterable[_Union[LanPeer, _Mapping]]] = ...) -> None: ...

class ReputationsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReputationInfo(_message.Message):
    __slots__ = ("subject", "kind", "name", "score", "good", "bad", "fault", "fault_wall_ms", "held")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    BAD_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    FAULT_WALL_MS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    subject: str
    kind: str
    name: str
    score: float
    good: float
    bad: float
    fault: str
    fault_wall_ms: int
    held: int
    def __init__(self, subject: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., score: _Optional[float] = ..., good: _Optional[float] = ..., bad: _Optional[float] = ..., fault: _Optional[str] = ..., fault_wall_ms: _Optional[int] = ..., held: _Optional[int] = ...) -> None: ...

class ReputationsReply(_message.Message):
    __slots__ = ("reputations", "obeyed", "min_reputation")
    REPUTATIONS_FIELD_NUMBER: _ClassVar[int]
    OBEYED_FIELD_NUMBER: _ClassVar[int]
    MIN_REPUTATION_FIELD_NUMBER: _ClassVar[int]
    reputations: _containers.RepeatedCompositeFieldContainer[ReputationInfo]
    obeyed: bool
    min_reputation: float
    def __init__(self, reputations: _Optional[_Iterable[_Union[ReputationInfo, _Mapping]]] = ..., obeyed: _Optional[bool] = ..., min_reputation: _Optional[float] = ...) -> None: ...

class ForgiveRequest(_message.Message):
    __slots__ = ("subject",)
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class ForgiveReply(_message.Message):
    __slots__ = ("reputation",)
    REPUTATION_FIELD_NUMBER: _ClassVar[int]
    reputation: ReputationInfo
    def __init__(self, reputation: _Optional[_Union[ReputationInfo, _Mapping]] = ...) -> None: ...
