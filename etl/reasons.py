"""Every reason code that is everybody's, once: what it means and what to do about it. Long, because it is a list.

A vendor's own codes stand in its own file under `schemas`, in the same form; `etl.destinations.all_reasons` gathers
them all. Nothing is decided here: who judges a row names the constant, and says more where the row itself says more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from etl.model import Status

REJECTED = (Status.REJECTED,)
REFUSED = (Status.REFUSED,)
FAILED = (Status.FAILED,)
UNKNOWN = (Status.UNKNOWN,)
DELIVERED = (Status.DELIVERED,)
DUPLICATE = (Status.DUPLICATE,)
SKIPPED = (Status.SKIPPED,)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code: the statuses that it comes with, what it means and what a person should do.

    ``example`` is the event_id of a row of the showcase (``demo-…``), or what it looks like in a few words. A code that
    comes with ``delivered`` is a warning.
    """

    code: str
    statuses: tuple[Status, ...]
    sentence: str
    action: str
    example: str

    @property
    def detail(self) -> str:
        """Both sentences, for a result that has nothing more to say."""
        return f"{self.sentence} {self.action}"


def declared(module: ModuleType) -> list[Reason]:
    """The reasons that a module declares as its constants."""
    return [value for value in vars(module).values() if isinstance(value, Reason)]


# -- the row as its source has it

RAGGED_ROW = Reason(
    "ragged_row",
    REJECTED,
    "The row has more or fewer cells than the header.",
    "Find the delimiter or the quotation mark that is missing or too many.",
    "demo-ragged-row",
)
BROKEN_QUOTES = Reason(
    "broken_quotes",
    REJECTED,
    "Text follows a closing quotation mark.",
    'Write a quotation mark twice ("") where it belongs to the text.',
    'a cell written "12"34',
)
UNDECODABLE = Reason(
    "undecodable",
    REJECTED,
    "A character in the row cannot be read, because its bytes are no text in the file's encoding.",
    "Type that cell again and save as CSV UTF-8.",
    "half of the two bytes of é in a UTF-8 file",
)
NUL_BYTE = Reason(
    "nul_byte",
    REJECTED,
    "The row holds NUL bytes: the file was damaged on its way.",
    "Export it again.",
    "a stretch of NUL bytes where an export was cut off",
)
CELL_TOO_LARGE = Reason(
    "cell_too_large",
    REJECTED,
    "A cell of the row has more than 16 million characters.",
    "Look for what was pasted into it, or leave that column out of the export.",
    "a picture as text in the column of notes",
)
NOT_TEXT = Reason(
    "not_text",
    REJECTED,
    "A value of the row is bytes that are no text (UTF-8).",
    "Have the column hold text, or leave it out of the query.",
    "a binary column with the byte FF",
)
NOT_A_CONVERSION = Reason(
    "not_a_conversion",
    REJECTED,
    "The row is empty, or a total under the table: no conversion.",
    "Nothing to do.",
    "a last row that says Total and 1299.00",
)

NOT_WANTED = Reason(
    "not_wanted",
    SKIPPED,
    "The import's `where` does not want the row as it stands now.",
    "Nothing to do: it is judged anew whenever its source is read again, and goes once it is wanted.",
    "an open deal, where the import wants those that are won",
)

# -- what every conversion must be

MISSING_EVENT_ID = Reason(
    "missing_event_id",
    REJECTED,
    "event_id is empty: it is what keeps a conversion from being counted twice.",
    "Fill it with what identifies the conversion for ever, such as the order number.",
    "the row with the order_id demo-missing-event-id",
)
EVENT_ID_TOO_LONG = Reason(
    "event_id_too_long",
    REJECTED,
    "event_id is longer than 500 characters.",
    "Use a shorter id, the same one in every export.",
    "demo-event-id-too-long-…",
)
CONTROL_CHARACTER = Reason(
    "control_character",
    REJECTED,
    "An id or event_name holds a control character or one that nobody sees (NUL, tab, line break, zero-width space).",
    "Remove it where the id or the name is written.",
    "demo-control-character…",
)
MISSING_EVENT_NAME = Reason(
    "missing_event_name",
    REJECTED,
    "event_name is empty: no vendor could tell what happened.",
    "Fill it, for instance with Order Completed.",
    "demo-missing-event-name",
)
EVENT_NAME_TOO_LONG = Reason(
    "event_name_too_long",
    REJECTED,
    "event_name is longer than 500 characters.",
    "Check that the right column is mapped to event_name.",
    "demo-event-name-too-long",
)
DUPLICATE_EVENT_ID = Reason(
    "duplicate_event_id",
    REJECTED,
    "A good row above it in the same source has the same event_id; that one was offered to every destination.",
    "Nothing to do if it is the same conversion; else give it an id of its own.",
    "demo-duplicate-event-id",
)
MISSING_OCCURRED_AT = Reason(
    "missing_occurred_at",
    REJECTED,
    "occurred_at is empty: when did it happen?",
    "Fill in the moment of the conversion.",
    "demo-missing-occurred-at",
)
IN_THE_FUTURE = Reason(
    "in_the_future",
    REJECTED,
    "occurred_at lies in the future.",
    "Check day, month and time zone, and the clock of whatever wrote it.",
    "demo-in-the-future",
)
NO_TIMEZONE = Reason(
    "no_timezone",
    REJECTED,
    "occurred_at carries no time zone and the import has no `timezone`.",
    "Add an offset such as +01:00, or set `timezone`.",
    "demo-no-timezone",
)
AMBIGUOUS_LOCAL_TIME = Reason(
    "ambiguous_local_time",
    REJECTED,
    "occurred_at happened twice that night, when the clocks went back.",
    "Add an offset such as +01:00.",
    "demo-ambiguous-local-time",
)
NONEXISTENT_LOCAL_TIME = Reason(
    "nonexistent_local_time",
    REJECTED,
    "occurred_at never happened: the clocks skipped that hour.",
    "Check it, or add an offset such as +01:00.",
    "demo-nonexistent-local-time",
)
TIMESTAMP_NOT_MILLISECONDS = Reason(
    "timestamp_not_milliseconds",
    REJECTED,
    "occurred_at is a number but not epoch milliseconds, which have 13 digits; what other digits mean is not guessed.",
    "Export milliseconds, or ISO 8601; or have `date_format` say what they are (unix_seconds, unix_micros, unix_nanos, "
    "excel_serial, or a format such as %Y%m%d%H%M).",
    "demo-timestamp-in-seconds",
)
AMBIGUOUS_DATE = Reason(
    "ambiguous_date",
    REJECTED,
    "Nobody can tell day from month in this occurred_at.",
    "Write it as 2026-11-20T09:30:00+01:00, or have `date_format` and `timezone` added to the import.",
    "demo-ambiguous-date",
)
DATE_FORMAT_NEEDED = Reason(
    "date_format_needed",
    REJECTED,
    "occurred_at is a date, but not written as ISO 8601.",
    "Write it as 2026-11-20T09:30:00+01:00, or have `date_format` and `timezone` added to the import.",
    "demo-date-format-needed",
)
NOT_IN_DATE_FORMAT = Reason(
    "not_in_date_format",
    REJECTED,
    "occurred_at is not written as the import's `date_format` says, nor as ISO 8601.",
    "Write it like the other rows, or correct `date_format`.",
    "demo-date-format-unlike-the-others",
)
TIMESTAMP_UNPARSABLE = Reason(
    "timestamp_unparsable",
    REJECTED,
    "occurred_at is neither ISO 8601 (2026-11-20T09:30:00+01:00) nor epoch milliseconds.",
    "Write it so; or have `date_format` say how it is written, also of a spreadsheet's day numbers (46346.44, "
    "`excel_serial`).",
    "demo-timestamp-unparsable",
)
NOT_A_CURRENCY = Reason(
    "not_a_currency",
    REJECTED,
    "currency is not a three-letter code (ISO 4217).",
    "Write EUR, GBP, USD and the like.",
    "demo-not-a-currency",
)
DECIMAL_COMMA = Reason(
    "decimal_comma",
    REJECTED,
    "revenue holds a comma that may stand for the decimals or for the thousands.",
    'Write 1234.50, or have the import\'s `locale` say which (decimal "," and thousands "." for 1.234,50; the other '
    "way round for 1,234.50).",
    "demo-decimal-comma",
)
NOT_A_DECIMAL = Reason(
    "not_a_decimal",
    REJECTED,
    "revenue is not a plain decimal such as 149.99.",
    "Write no sign of currency, and separators of thousands only where the import's `locale` declares them.",
    "demo-thousands-out-of-place",
)
NOT_IN_LOCALE = Reason(
    "not_in_locale",
    REJECTED,
    "A number is not written as the import's `locale` says: its decimal mark or its groups of thousands differ.",
    "Write it like the other rows, or correct `locale`.",
    "demo-thousands-out-of-place",
)
AMBIGUOUS_NUMBER = Reason(
    "ambiguous_number",
    REJECTED,
    "Nobody can tell whether a number's point marks the decimals or groups the thousands: one to three digits, a point "
    "and three digits, in a currency that has not three decimals.",
    'Have the import\'s `locale` say which (decimal "," and thousands "." where 1.299 is more than a thousand, decimal '
    '"." where it is not), or write it as 1299.00.',
    "demo-ambiguous-number",
)
INEXACT_NUMBER = Reason(
    "inexact_number",
    REJECTED,
    "It is a floating-point number past the whole numbers that such a number holds exactly (2^53, and 2^24 for a FLOAT "
    "of 32 bits): its last digits may not be those that were meant.",
    "Have the query or the export CAST the column to text or to DECIMAL.",
    "a double of 1.2345678901234568e+18 as order_id",
)
NEGATIVE_AMOUNT = Reason(
    "negative_amount",
    REJECTED,
    "revenue is negative, and the vendor takes no negative one for this event.",
    "Correct it; or name a refund as one, or set the destination's option for negative amounts, where there is such.",
    "demo-negative-revenue",
)
TOO_MANY_DECIMALS = Reason(
    "too_many_decimals",
    (Status.REJECTED, Status.DELIVERED),
    "revenue has more decimals than the vendor takes.",
    "Correct it, or set the destination's option that rounds it.",
    "demo-too-many-decimals",
)
QUANTITY_NOT_A_WHOLE_NUMBER = Reason(
    "quantity_not_a_whole_number",
    REJECTED,
    "quantity is not a whole number such as 2.",
    "Correct it, or leave it empty.",
    "demo-quantity-not-a-number",
)
NOT_A_JSON_OBJECT = Reason(
    "not_a_json_object",
    REJECTED,
    "properties, profile_properties or attributes is not a JSON object such as {}.",
    'Write names and values in braces, names in double quotes: {"coupon": "AUTUMN"}.',
    "demo-properties-not-a-json-object",
)
NESTED_TOO_DEEP = Reason(
    "nested_too_deep",
    REJECTED,
    "The JSON of a cell is nested deeper than 100 levels.",
    "Leave out what is inside.",
    "demo-properties-nested-too-deep",
)
ID_DAMAGED_BY_SPREADSHEET = Reason(
    "id_damaged_by_spreadsheet",
    REJECTED,
    "A spreadsheet or another program took an id, a phone number or an alias for a number (1.23457E+15, 1E5, 4711.0, "
    "1,234,567, or zeros from the 16th digit on): its digits may be lost.",
    "Export again with the column formatted as text; if this source's ids really end in zeros or look like 4711.0, "
    "have `spreadsheet: false` added to the import.",
    "demo-id-rounded-by-a-spreadsheet",
)
FORMULA_TEXT = Reason(
    "formula_text",
    REJECTED,
    "A formula or a spreadsheet's error (=…, #REF!, #WERT!, #N/A) stands where a value should.",
    "Paste values only, and export again.",
    "demo-formula",
)

# -- what several vendors ask of a row

MISSING_VISITOR_ID = Reason(
    "missing_visitor_id",
    REJECTED,
    "Neither user_id nor anonymous_id holds the id under which the vendor knows the visitor.",
    "Fill one of them with the id that the website gave to the vendor.",
    "demo-nobody",
)
ANONYMOUS_VISITOR = Reason(
    "anonymous_visitor",
    DELIVERED,
    "user_id is empty, so the visitor goes under anonymous_id: where the website told the vendor the user's id, the "
    "conversion is nobody's.",
    "Fill user_id, or make sure that the website knows such visitors under anonymous_id.",
    "demo-visitor-known-by-cookie-only",
)
LOOKS_LIKE_PII = Reason(
    "looks_like_pii",
    REJECTED,
    "An id looks like an e-mail address or a phone number, which may not leave or be shown in clear.",
    "Use an id that says nothing about the person. For a visitor's id a destination may have an option that hashes it; "
    "event_id and event_name may be so with `ids_may_be_personal: true`.",
    "demo-email-as-user-id",
)
NOT_AN_EMAIL = Reason(
    "not_an_email",
    (Status.REJECTED, Status.DELIVERED),
    "What stands where an e-mail address should is none: it is neither hashed nor sent.",
    "Correct it, or leave it empty; where nothing else says who it was, the row is not sent.",
    "demo-no-email",
)
NOT_A_PHONE_NUMBER = Reason(
    "not_a_phone_number",
    (Status.REJECTED, Status.DELIVERED),
    "What stands where a phone number should is no possible one: it is neither hashed nor used as an identity.",
    "Correct it, or leave it empty; where nothing else says who it was, the row is not sent.",
    "demo-no-phone-number",
)
PHONE_NOT_INTERNATIONAL = Reason(
    "phone_not_international",
    (Status.REJECTED, Status.DELIVERED),
    "A phone number carries no country code (+49 …): it is neither hashed nor used as an identity, since it would "
    "match nobody, or somebody else.",
    "Add the code, or have `phone_region: DE` (whose numbers they are) added to the import.",
    "demo-phone-without-country-code",
)
MISSING_GOAL_ID = Reason(
    "missing_goal_id",
    REJECTED,
    "The vendor counts conversions by goal, and nothing names the goal of this event.",
    "Fill the vendor's own goal column, or name the goal of such events under `events`.",
    "demo-unknown-event",
)
GOAL_ID_NOT_A_WHOLE_NUMBER = Reason(
    "goal_id_not_a_whole_number",
    REJECTED,
    "The goal of the event is not a goal id, which is digits only.",
    "Copy the id from the vendor's list of goals.",
    "the name of a goal where its id belongs",
)
UNKNOWN_EVENT_KEY = Reason(
    "unknown_event_key",
    REJECTED,
    "The vendor's account has no event of that name; names are case-sensitive.",
    "Map the event under `events`, or create it at the vendor.",
    "demo-unknown-event",
)

# -- when it may be sent

TOO_OLD = Reason(
    "too_old",
    REJECTED,
    "The vendor no longer takes a conversion this old.",
    "Nothing can be done for this row; import sooner.",
    "demo-too-old",
)
STALE = Reason(
    "stale",
    DELIVERED,
    "The vendor may ignore a conversion this old.",
    "Import sooner.",
    "a row older than what the vendor is known to count",
)
NOT_YET = Reason(
    "not_yet",
    FAILED,
    "Not sent: occurred_at lies ahead of the clock, and the vendor ignores what is in the future.",
    "The next run sends it, or `conversions retry`.",
    "a row from a till whose clock is two minutes fast",
)
TOO_LARGE = Reason(
    "too_large",
    REJECTED,
    "Alone it is larger than a request may be.",
    "Shorten properties or attributes, or raise `limits.bytes` as far as the vendor allows.",
    "two megabytes of text in properties",
)

# -- what came of the request

HTTP_STATUS = Reason(
    "http_<status>",
    (Status.REFUSED, Status.FAILED),
    "The vendor answered with this HTTP status instead of taking the conversion.",
    "Where it is refused (400, 413, 422 …), correct the row. Where it failed (401, 429, 503 …), do what its sentence "
    "says; the next run sends it, or `conversions retry`.",
    "http_400, http_401, http_503",
)
NO_ANSWER = Reason(
    "no_answer",
    UNKNOWN,
    "Sent, but no answer came that could be read: it may have been accepted.",
    "Where the vendor counts a repeat once it is sent again by itself; else look it up there, then `conversions retry "
    "--status unknown`.",
    "the connection broke while the vendor worked",
)
SENT_AGAIN = Reason(
    "sent_again",
    DELIVERED,
    "It was sent again because no answer came the first time, and the vendor does not document what it makes of a "
    "repeat: it may count twice.",
    "Look it up at the vendor.",
    "an answer that was lost, and then one that came",
)
UNREACHABLE = Reason(
    "unreachable",
    FAILED,
    "The vendor could not be reached.",
    "Check the network and `endpoint`; `conversions retry` or the next run sends it.",
    "the connection was refused five times",
)
TLS = Reason(
    "tls",
    FAILED,
    "No secure connection to the vendor could be made; nothing was sent.",
    "Check the certificates on this machine, and whether a proxy stands in between.",
    "a certificate that nobody here trusts",
)
BAD_ENDPOINT = Reason(
    "bad_endpoint",
    FAILED,
    "`endpoint` is not a usable URL; nothing was sent.",
    "Correct it in imports.yaml, then `conversions retry`.",
    "http://:443/events",
)
LOOKUP_FAILED = Reason(
    "lookup_failed",
    FAILED,
    "Something that the destination must look up before a run could not be had; nothing was sent.",
    "Do what the sentence says, then `conversions retry`.",
    "a vendor's list of goals that cannot be read",
)
SETTINGS = Reason(
    "settings",
    FAILED,
    "The settings of the destination could not be used; nothing more was sent.",
    "Correct imports.yaml as the sentence says, then `conversions retry`.",
    "a key that was taken out of the environment while the run worked",
)
INTERRUPTED = Reason(
    "interrupted",
    FAILED,
    "Not sent: the run was ended.",
    "The next one sends it.",
    "Ctrl-C in the middle of a run",
)

# -- what the ledger says

IN_FLIGHT = Reason(
    "in_flight",
    UNKNOWN,
    "It is on its way, or the run ended before the answer was written down: it may have been accepted.",
    "While the run works, wait. After that it is sent again by itself where the vendor counts a repeat once; else look "
    "it up there, then `conversions retry --status unknown`.",
    "the power went while a batch was on the wire",
)
OTHER_ACCOUNT = Reason(
    "other_account",
    FAILED,
    "The ledger knows the destination as another account, or as a trial; nothing was sent.",
    "The same account: `conversions ledger accept NAME`. Another: `conversions ledger forget NAME`.",
    "going live with the ledger of a trial",
)
LEDGER_RESTORED = Reason(
    "ledger_restored",
    UNKNOWN,
    "It may have been delivered after the ledger's copy was made, and the vendor cannot tell a repeat.",
    "Look it up at the vendor, then `conversions retry --status unknown` sends it.",
    "a ledger put back from yesterday's copy",
)
NO_TURN = Reason(
    "no_turn",
    FAILED,
    "Another run was sending to the same address for longer than this one waits.",
    "Nothing to do: the next run sends it. `wait_for_turn` says how long a run waits.",
    "a backfill that sends for days",
)
OWN_ERROR = Reason(
    "own_error",
    FAILED,
    "The program failed before the request was sent.",
    "Nothing was sent; the run's last line says what happened. The next run sends it.",
    "an error in a destination's own file",
)
IN_FLIGHT_ELSEWHERE = Reason(
    "in_flight_elsewhere",
    DUPLICATE,
    "Another run is sending the same conversion at this moment.",
    "Nothing to do: that run has its result.",
    "the same file imported twice at once",
)
ALREADY_DELIVERED = Reason(
    "already_delivered",
    DUPLICATE,
    "An earlier run delivered it.",
    "Nothing to do.",
    "a row of yesterday's export that is in today's too",
)
CHANGED_AFTER_DELIVERY = Reason(
    "changed_after_delivery",
    DUPLICATE,
    "An earlier run delivered it with other content; a delivered conversion is never sent again.",
    "If it is another conversion, give it an event_id of its own.",
    "an order whose revenue was corrected afterwards",
)
WAITING_FOR_A_PERSON = Reason(
    "waiting_for_a_person",
    UNKNOWN,
    "An earlier run sent it and got no readable answer, and the vendor cannot tell a repeat.",
    "Look it up at the vendor, then `conversions retry --status unknown` sends it again.",
    "a row of a run that was killed while it sent",
)

# -- what is said of a dropped file as a whole

FILE_QUARANTINED = Reason(
    "file_quarantined",
    REJECTED,
    "Not sent: too many other rows of the file are bad.",
    "Correct the file and drop it again.",
    "a good row in a file of which half cannot be used",
)
FILE_UNUSABLE = Reason(
    "file_unusable",
    REJECTED,
    "Not sent: the file as a whole cannot be used.",
    "Correct what the summary says and drop it again.",
    "a good row above a quotation mark that is never closed",
)
DRY_RUN = Reason(
    "dry_run",
    SKIPPED,
    "It would be sent.",
    "Drop the file into the inbox itself.",
    "a good row of a file in the folder dryrun",
)

SHARED = declared(sys.modules[__name__])
"""Everybody's reasons, in the order of this file."""

ALIASES: Mapping[str, str] = {"negative_value": "negative_amount", "no_goal": "missing_goal_id"}
"""Codes of earlier versions, which stored results may hold -> the code that says the same now."""

_HTTP = re.compile(r"http_[1-5][0-9]{2}")


def http(status: int) -> str:
    """The code of `HTTP_STATUS` for one status: ``http_503``."""
    return f"http_{status}"


def canonical(code: str) -> str:
    """The code as it is listed: an alias under what took its place, ``http_503`` under its family, others unchanged."""
    return HTTP_STATUS.code if _HTTP.fullmatch(code) else ALIASES.get(code, code)


def stored_as(code: str) -> list[str]:
    """Every code under which results of this reason may be stored, for whoever looks for them by ``code``."""
    now = ALIASES.get(code, code)
    return [now, *(alias for alias, meant in ALIASES.items() if meant == now)]
