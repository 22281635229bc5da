"""What text in a well-known format looks like: patterns that mean the same in RE2 and in Rust, and lists of codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# RFC 5321's mailbox without quotes, comments and address literals, which nobody's address has. A domain without a dot
# is one only for a country, because ICANN forbids mail to all other top-level domains.
_EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}(?:\.{_LABEL})+|[A-Za-z]{{2}})$"
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"
_LAST = f"(?:{_GROUP}:{_GROUP}|{_V4})"
_V6 = "|".join(
    (  # RFC 3986, IPv6address
        f"(?:{_GROUP}:){{6}}{_LAST}",
        f"::(?:{_GROUP}:){{5}}{_LAST}",
        f"(?:{_GROUP})?::(?:{_GROUP}:){{4}}{_LAST}",
        f"(?:(?:{_GROUP}:){{0,1}}{_GROUP})?::(?:{_GROUP}:){{3}}{_LAST}",
        f"(?:(?:{_GROUP}:){{0,2}}{_GROUP})?::(?:{_GROUP}:){{2}}{_LAST}",
        f"(?:(?:{_GROUP}:){{0,3}}{_GROUP})?::{_GROUP}:{_LAST}",
        f"(?:(?:{_GROUP}:){{0,4}}{_GROUP})?::{_LAST}",
        f"(?:(?:{_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}",
        f"(?:(?:{_GROUP}:){{0,6}}{_GROUP})?::",
    )
)

_ENCODED = "%[0-9A-Fa-f]{2}"
_NAME = "A-Za-z0-9._~!$&'()*+,;="
_CHARACTER = f"(?:[{_NAME}:@-]|{_ENCODED})"
_PATH = f"(?:[{_NAME}:@/-]|{_ENCODED})*"
_MORE = f"(?:[{_NAME}:@/?-]|{_ENCODED})*"
_AUTHORITY = rf"(?:(?:[{_NAME}:-]|{_ENCODED})*@)?(?:\[(?:{_V6})\]|(?:[{_NAME}-]|{_ENCODED})*)(?::[0-9]*)?"
_URI = (  # RFC 3986
    f"^[A-Za-z][A-Za-z0-9+.-]*:(?://{_AUTHORITY}(?:/{_PATH})?|/(?:{_CHARACTER}{_PATH})?|{_CHARACTER}{_PATH}|)"
    rf"(?:\?{_MORE})?(?:#{_MORE})?$"
)

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
    f"02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]+)?"
_OFFSET = "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"


@dataclass(frozen=True)
class Format:
    """A format of text.

    Attributes:
        pattern: the regular expression that it matches.
        says: a sentence without subject.
        longest: how many characters it has at most, if that is limited.
        longest_before: a character, and how many others stand before the first of it at most.
    """

    pattern: str
    says: str
    longest: int | None = None
    longest_before: tuple[str, int] | None = None


FORMATS = {
    "email": Format(_EMAIL, "is an e-mail address", 254, ("@", 64)),
    "uuid": Format(_UUID, "is a UUID"),
    "uri": Format(_URI, "is a URI (RFC 3986)"),
    "ip": Format(f"^(?:{_V4}|{_V6})$", "is an IP address"),
    "ipv4": Format(f"^{_V4}$", "is an IPv4 address"),
    "ipv6": Format(f"^(?:{_V6})$", "is an IPv6 address"),
    "hostname": Format(rf"^{_LABEL}(?:\.{_LABEL})*$", "is a host name", 253),
    "iso_date": Format(f"^{_DAY}$", "is a date such as 2026-11-21"),
    "iso_time": Format(f"^{_TIME}{_OFFSET}$", "is a time such as 10:30:00 or 10:30:00.5+01:00"),
    "iso_datetime": Format(f"^{_DAY}[T ]{_TIME}{_OFFSET}$", "is a moment such as 2026-11-21T10:30:00Z"),
}

# What babel's CLDR has in use and ISO 4217 does not know (the offshore yuan), and the other way around.
_NO_ISO_CURRENCIES = {"CNH"}
_CLDR_LACKS = {"SVC", "XAD"}
# Codes that CLDR names beside the countries: reserved ones, groups of countries, user-assigned and made-up ones.
_NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "XK", "ZZ"}


@cache
def currencies(since: str) -> tuple[str, ...]:
    """ISO 4217 codes that were in use on the ISO date `since` or later.

    A fixed day, not today: when a currency is withdrawn, the rows of its last year stay as good as they were (I3).
    """
    from babel.core import get_global

    day = date.fromisoformat(since)
    periods = [period for found in get_global("territory_currencies").values() for period in found]
    used = {str(code) for code, _, end, _ in periods if end is None or date(*end) >= day}
    return tuple(sorted(used - _NO_ISO_CURRENCIES | _CLDR_LACKS))


@cache
def countries() -> tuple[str, ...]:
    """ISO 3166-1 alpha-2 codes that are officially assigned; withdrawn ones such as `YU` are none."""
    from babel import Locale

    codes = map(str, Locale("en").territories)
    return tuple(sorted(code for code in codes if len(code) == 2 and code not in _NO_COUNTRIES))
