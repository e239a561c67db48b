"""What a vendor's file must say: facts, settings, and pure methods that describe requests and read answers.

A destination opens nothing, reads no clock and logs nothing; values in, values out. What may be shared lives here; what
only one vendor does stays in that vendor's file. Long, because it is the whole of what a vendor's file is written
against.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, cast

import orjson
import pandas as pd
import pandera.pandas as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from etl import __version__, reasons
from etl.model import Fetch, Limits, Request, Response, RetryPolicy, RunWarning, Status, Verdict
from etl.reasons import Reason
from etl.redact import mask, secrets_of
from schemas.casts import nothing
from schemas.contacts import is_email, read_phone

USER_AGENT = f"offline-conversions/{__version__}"

STOPS: Mapping[int, str] = {
    401: "the credentials were not accepted",
    403: "access was refused",
    404: "there is nothing at this address",
    405: "this address does not take conversions",
}
"""Answers that blame no row: the destination stops."""


def _web_address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must be a full http:// or https:// URL")
    return url


HINTS: Mapping[int, str] = {
    413: "The request is larger than the vendor takes: lower `limits.bytes` or `limits.items`.",
    422: "The vendor could read the request but not use what it says: compare the row with what it documents.",
}
"""What a person should do about an answer of which the vendor's own documents say nothing."""

CONTACT_FAULTS = ("email_fault", "phone_fault")
"""Columns that `Destination.hash_personal` adds: why an e-mail or phone number identifies nobody (reason code)."""

CONTACT_REASONS = (reasons.NOT_AN_EMAIL, reasons.NOT_A_PHONE_NUMBER, reasons.PHONE_NOT_INTERNATIONAL)

Url = Annotated[str, AfterValidator(_web_address)]
Text = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Hashing = Literal["off", "sha256", "sha256-email", "sha256-phone", "sha256-phone-digits"]
"""How an id is hashed before it leaves: as it is, as an e-mail, as a phone number with or without its plus."""


class LimitSettings(BaseModel):
    """``limits:`` of a destination; what is left out keeps the vendor's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    items: int | None = Field(default=None, ge=1)
    """Conversions in one request, at most as many as the vendor takes."""
    bytes: int | None = Field(default=None, ge=1000)
    """Bytes of one request's body, at most as many as the vendor takes."""
    connections: int | None = Field(default=None, ge=1, le=64)
    """Requests on the wire at once."""
    spacing_ms: int | None = Field(default=None, ge=0)
    """Milliseconds between the starts of two requests."""


class RetrySettings(BaseModel):
    """``retry:`` of a destination; what is left out keeps the vendor's default. Seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    attempts: int | None = Field(default=None, ge=1, le=20)
    """How often one request is tried; a 429 burns no attempt."""
    first_wait_s: float | None = Field(default=None, ge=0, le=60)
    """Seconds before the second attempt; each further wait is twice as long."""
    longest_wait_s: float | None = Field(default=None, ge=0, le=600)
    """Seconds that no wait is longer than, unless the vendor asks for more."""
    total_s: float | None = Field(default=None, gt=0, le=3600)
    """Seconds for all attempts of one request."""
    timeout_s: float | None = Field(default=None, gt=0, le=600)
    """Seconds to wait for one answer."""


class HashSettings(BaseModel):
    """``hash:`` of a destination: what never leaves in clear. Brought into one form first, see `hashed`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    email: Literal["off", "sha256"] = "off"
    """E-mail addresses, in lower case."""
    phone: Literal["off", "sha256", "sha256-digits"] = "off"
    """Phone numbers, with their plus or as digits alone."""


class Settings(BaseModel):
    """What every destination takes in imports.yaml; a vendor adds its own. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, use_attribute_docstrings=True)

    type: str
    """Which vendor; left out, the destination's name says it."""
    endpoint: Url | None = Field(default=None, repr=False)
    """The full address, where it is not the vendor's usual one."""
    limits: LimitSettings = LimitSettings()
    """How much travels at once."""
    retry: RetrySettings = RetrySettings()
    """How long a request is tried."""
    hash: HashSettings = HashSettings()
    """What never leaves in clear."""
    events: dict[str, Any] = {}
    """Event name -> what it is at the vendor."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a vendor's documents say, as data.

    ``max_items`` and ``max_bytes`` are ceilings that settings may not pass. ``repeatable``: the vendor counts a repeat
    under the same key once, so an unanswered request may be sent again. ``all_or_nothing``: a refused request counted
    none of its items, so it may be halved. ``hints``: HTTP status -> what a person should do about it. ``expired`` and
    ``stale``: reason code and sentence for an item sent after ``expires_at_ms`` (it is rejected) or ``stale_at_ms`` (it
    goes, with a warning); ``early``: for one that would be sent before ``ready_at_ms`` (it is failed, to go next time).
    ``dedup_documented``: False where a repeat may be sent but no document says what becomes of it. For people:
    ``where_to_look`` for a test event, and after how many minutes; ``notes``, what to know before anything
    is sent; ``events``, the vendor's default event mapping; ``troubleshooting``, symptom -> what its documents say.
    """

    title: str
    docs: tuple[str, ...]
    limits: Limits
    max_items: int
    max_bytes: int
    repeatable: bool
    repeatable_because: str
    all_or_nothing: bool
    requires: tuple[str, ...]
    hints: Mapping[int, str] = field(default_factory=dict)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    expired: tuple[str, str] = (reasons.TOO_OLD.code, reasons.TOO_OLD.sentence)
    stale: tuple[str, str] = (reasons.STALE.code, reasons.STALE.sentence)
    early: tuple[str, str] = (reasons.NOT_YET.code, reasons.NOT_YET.detail)
    dedup_documented: bool = True
    where_to_look: str = ""
    notes: tuple[str, ...] = ()
    events: Mapping[str, str] = field(default_factory=dict)
    troubleshooting: Mapping[str, str] = field(default_factory=dict)

    @property
    def deduplicates(self) -> str:
        """``yes``, ``no`` or ``not documented``: what the vendor says of the same conversion sent twice."""
        return "not documented" if not self.dedup_documented else "yes" if self.repeatable else "no"


SettingsModel: TypeAlias = type[Settings]


class Ties(NamedTuple):
    """What an item has in common with others of its run.

    Items with one ``order_key`` travel in the order of their file, one after another. ``shared`` are what `repeated`
    and `amended` ask about.
    """

    order_key: str
    shared: tuple[str, ...] = ()


class Destination:
    """One configured account of a vendor. Subclasses live one level below, one per file."""

    type: ClassVar[str]
    """The name of the subclass's file, and what imports.yaml says as ``type``."""
    facts: ClassVar[Facts]
    settings_model: ClassVar[SettingsModel]
    contacts: ClassVar[tuple[str, ...]] = ("email", "phone")
    """Which of ``email`` and ``phone`` travel to the vendor, in clear or hashed."""
    endpoint_template: ClassVar[str]
    """The vendor's URL with settings in braces; ``endpoint`` in imports.yaml replaces it whole."""
    fields: ClassVar[Mapping[str, str]] = {}
    """Canonical column -> the vendor's field that it fills, as its documents write it; for people."""
    property_names: ClassVar[Mapping[str, str]] = {}
    """Canonical column -> its name among the properties, where a stray column of that name would take its place."""
    readable: ClassVar[tuple[str, ...]] = ()
    """Fields of a payload that say nothing about a person, as dotted paths; all others are masked in what is kept of an
    answer."""
    in_order: ClassVar[bool] = False
    """True where rows of a run bear on each other, see `ties`; for vendors whose batches are not halved."""
    own_columns: ClassVar[tuple[str, ...]] = ()
    """Further columns that the vendor's documents name: they travel to it, and to it alone, without being asked for."""

    @classmethod
    def own_columns_of(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """`own_columns` and those that the settings name, as written in imports.yaml."""
        return cls.own_columns

    def extra_field(self, column: str) -> str:
        """Where a column beside ours goes, for people; empty where the vendor has no place for it."""
        return ""

    def __init__(
        self, name: str, settings: Settings, lookup: Mapping[str, Any] | None = None, hidden: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.settings = settings
        self.lookup: Mapping[str, Any] = lookup or {}
        self.hidden = hidden
        """What was filled into addresses of the settings and may be secret, see `Config.secrets_filled_in`."""

    # -- facts and settings together

    @cached_property
    def endpoint(self) -> str:
        """Where conversions are posted."""
        return self.settings.endpoint or self.endpoint_template.format(**self.settings.model_dump())

    @cached_property
    def limits(self) -> Limits:
        """The vendor's defaults, overridden by ``limits:``; items and bytes never above the vendor's ceilings."""
        ours, default = self.settings.limits, self.facts.limits
        return Limits(
            items=min(ours.items or default.items, self.facts.max_items),
            bytes=min(ours.bytes or default.bytes, self.facts.max_bytes),
            connections=ours.connections or default.connections,
            spacing_ms=default.spacing_ms if ours.spacing_ms is None else ours.spacing_ms,
        )

    @cached_property
    def retry_policy(self) -> RetryPolicy:
        """The vendor's defaults, overridden by ``retry:``."""
        return replace(self.facts.retry_policy, **self.settings.retry.model_dump(exclude_none=True))

    @cached_property
    def envelope_bytes(self) -> int:
        """Bytes of a body that are not items; each further item costs one more for the comma."""
        return len(self.request([b"{}"]).body) - 2

    def secrets(self) -> list[str]:
        """Every secret value of the settings, to be masked wherever a request is shown: see `redact.secrets_of`.

        A vendor adds what is a secret only there, such as the path of an address.
        """
        return [*secrets_of(self.settings), *self.hidden]

    def masked(self, text: str) -> str:
        """The text with every secret of the settings replaced by ***."""
        return mask(text, self.secrets())

    def hint(self, status: int) -> str:
        """What a person should do about this answer, in one sentence; empty when nothing is known."""
        return self.facts.hints.get(status) or HINTS.get(status, "")

    # -- from a row to its verdict

    def hash_personal(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """The conversions with ``email`` and ``phone`` as they may leave, and the columns `CONTACT_FAULTS`.

        What is no e-mail address is left out; what is no possible phone number, or nobody's in particular without its
        country code, is left out where it would be hashed, and else travels as it is written. Vendors to which neither
        travels (``contacts``) get the conversions as they are.
        """
        out = conversions.copy(deep=False)
        how = self.settings.hash
        if "email" in self.contacts and not out["email"].isna().all():
            email: Hashing = "sha256-email" if how.email != "off" else "off"
            good = is_email(out["email"])
            out["email_fault"] = _fault(out["email"].notna() & ~good, reasons.NOT_AN_EMAIL)
            out["email"] = hashed_ids(out["email"].where(good), email).ids
        if "phone" in self.contacts and not out["phone"].isna().all():
            phone: Hashing = "sha256-phone" if how.phone == "sha256" else "sha256-phone-digits"
            found = hashed_ids(out["phone"], phone, region_of(out))
            out["phone_fault"] = found.faults
            out["phone"] = out["phone"] if how.phone == "off" else found.ids
        return out

    def columns(self, conversions: pd.DataFrame) -> pd.DataFrame:
        """The conversions in this vendor's words, still by column: every value the payload needs, resolved.

        ``conversions`` has the canonical columns and ``occurred_at_ms``; index = row number. The answer keeps the index
        and ``event_id``, ``event_name``. Optional columns that transform reads: ``skip`` (reason code, null = wanted)
        and ``skip_detail``; ``expires_at_ms``, ``stale_at_ms`` and ``ready_at_ms`` (nullable Int64, see `Facts`);
        ``note`` and ``note_detail`` (reason codes, joined by a space, and sentences of warnings about a good row).
        """
        raise NotImplementedError

    def schema(self) -> pa.DataFrameSchema:
        """The rules for what `columns` made (from ``schemas/<type>.py``)."""
        raise NotImplementedError

    def items(self, frame: pd.DataFrame) -> list[bytes]:
        """Payload bytes of each row, in order; every row has passed `schema`."""
        raise NotImplementedError

    def request(self, payloads: Sequence[bytes]) -> Request:
        """The request that carries these payloads, at most ``limits.items`` of them."""
        raise NotImplementedError

    def results(self, payloads: Sequence[bytes], response: Response) -> list[Verdict]:
        """One verdict per payload, for an answer that is neither a stop (401, 403 …) nor transient (408, 429, 5xx)."""
        return self.same_for_all(payloads, response)

    # -- rows of one run that bear on each other (``in_order``)

    def ties(self, payload: bytes) -> Ties:
        """What an item has in common with others of its run, read from its payload, before and after `amended`."""
        raise NotImplementedError

    def repeated(self, ties: Ties, known: Mapping[str, Status]) -> Verdict | None:
        """Why an item is not sent beside what went before it, if it is not. ``known``: of its ties those of which
        another row was delivered (``delivered``) or may have been (``unknown``)."""
        return None

    def amended(self, payload: bytes, ties: Ties, known: Mapping[str, Status]) -> tuple[bytes, Reason | None]:
        """The payload as it goes after what went before it, never longer, and a warning."""
        return payload, None

    # -- before a run

    def doubts(self) -> list[str]:
        """What is odd about the settings although it may be right, in sentences; for `check` and `ping`."""
        return []

    def metrics(self, conversions: pd.DataFrame) -> pd.Series[str] | None:
        """What the vendor adds the revenue of each row up to, whatever its currency; None where it keeps them apart."""
        return None

    def warnings(self, conversions: pd.DataFrame, at_ms: int) -> list[RunWarning]:
        """What a run should say of these conversions as a whole, sent at that moment (epoch ms)."""
        return []

    def prepare(self, fetch: Fetch) -> dict[str, Any]:
        """Look up what the vendor alone knows (JSON-able); runs once per run. Raises `errors.LookupFailed`."""
        return {}

    # -- pieces that vendor files share

    def same_for_all(self, payloads: Sequence[bytes], response: Response) -> list[Verdict]:
        """2xx: all delivered; anything else: all refused."""
        if 200 <= response.status < 300:
            return [Verdict(Status.DELIVERED)] * len(payloads)
        detail = f"{self.facts.title} answered {response.status}. {self.hint(response.status)}".strip()
        return [Verdict(Status.REFUSED, reasons.http(response.status), detail)] * len(payloads)

    def post(self, body: bytes, headers: Mapping[str, str] | None = None, user_agent: str = USER_AGENT) -> Request:
        """A JSON POST to the endpoint."""
        base = {"Content-Type": "application/json", "User-Agent": user_agent}
        return Request("POST", self.endpoint, {**base, **(headers or {})}, body)


def encoded(value: object) -> bytes:
    """JSON bytes to be kept. Money goes in as `number`, never as float; what JSON has no type for goes as its text.

    The copy is on purpose: what orjson 3.13 returns holds on to its work space, 4 kB however short the text. 200,000
    small payloads took 786 MB that way and 17 MB copied, and the copying is quicker than the page faults.
    """
    return b"%b" % orjson.dumps(value, default=str)


def compact(value: Mapping[str, Any]) -> bytes:
    """`encoded`, without the keys whose value is None."""
    return encoded({key: part for key, part in value.items() if part is not None})


def number(text: str) -> orjson.Fragment:
    """Decimal text as a JSON number, digit for digit: ``23.50`` stays ``23.50``; ``+.5`` becomes ``0.5``."""
    return orjson.Fragment(digits(text))


def digits(text: str) -> str:
    """What `number` puts into the JSON."""
    sign = "-" if text.startswith("-") else ""
    whole, dot, rest = text.lstrip("+-").partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{dot if rest else ''}{rest}"


class HashedIds(NamedTuple):
    """Ids as they leave, and the reason code of each that is null because it is not what was to be hashed."""

    ids: pd.Series[str]
    faults: pd.Series[str]


def hashed(ids: pd.Series[str], how: Hashing, region: str | None = None) -> pd.Series[str]:
    """SHA-256 in lower-case hex, as the website must do it too; nulls stay, and so does what is already 64 hex digits.

    E-mails are trimmed and lower-cased first. Phone numbers become ``+`` and digits (E.164), or (``-digits``) digits
    alone: both forms are in use and give different hashes. Null where an id is no e-mail address, or no possible phone
    number with its country code or of ``region``.
    """
    return hashed_ids(ids, how, region).ids


def hashed_ids(ids: pd.Series[str], how: Hashing, region: str | None = None) -> HashedIds:
    """`hashed`, and why what is null is null."""
    if how == "off":
        return HashedIds(ids, nothing(ids.index))
    if how in ("sha256-phone", "sha256-phone-digits"):
        faults = map_distinct(ids, lambda text: read_phone(text, region).fault)
        good = map_distinct(ids, lambda text: read_phone(text, region).number)
    else:
        good = ids.where(is_email(ids)) if how == "sha256-email" else ids
        faults = _fault(ids.notna() & good.isna(), reasons.NOT_AN_EMAIL)
    return HashedIds(map_distinct(good, lambda text: _sha256(text, how)), faults)


def region_of(conversions: pd.DataFrame) -> str | None:
    """Whose phone numbers those without a country code are: what the import declares, None if it does not."""
    if "phone_region" not in conversions.columns or conversions.empty:
        return None
    return str(conversions["phone_region"].iloc[0])


def _fault(where: pd.Series[bool], reason: Reason) -> pd.Series[str]:
    return nothing(where.index).mask(where, reason.code)


def _sha256(text: str, how: Hashing) -> str:
    if len(text) == 64 and set(text.lower()) <= set("0123456789abcdef"):
        return text.lower()
    forms = {"sha256-email": text.strip().lower(), "sha256-phone-digits": text.removeprefix("+")}
    return hashlib.sha256(forms.get(how, text).encode()).hexdigest()


def map_distinct(column: pd.Series[str], answer: Callable[[str], str | None]) -> pd.Series[str]:
    """The answer for each text, asked once per distinct one; nulls stay."""
    codes, distinct = pd.factorize(column)
    answers = pd.array([answer(text) for text in distinct], dtype="str")
    return cast("pd.Series[str]", pd.Series(answers.take(codes, allow_fill=True), index=column.index))


def to_python(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column as a list in which every kind of null is None."""
    column = frame[name]
    return column.astype("object").where(column.notna(), None).tolist()
