"""Which fields of a sample look like personal data or secrets, by their names and by their values (S1-98).

A guess for a person to confirm. It would rather mark a harmless field than miss a person's; no reason quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from platform_assets.contracts.model import Classification
from platform_assets.contracts.naming import snake_case
from platform_assets.operations.onboarding.shapes import EMAIL, IPV4, is_day

Guess = tuple[Classification, str]

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|passphrase|secret|token|api_?key|access_key|private_key|secret_key|credentials?|"
    r"cvv2?|cvc2?|pin|otp|authorization)(?:_hash|_value)?$"
)
_PERSON = {
    *("user", "users", "customer", "customers", "person", "people", "client", "clients", "patient"),
    *("patients", "employee", "employees", "member", "members", "contact", "contacts", "guest", "guests"),
    *("driver", "drivers", "passenger", "passengers", "cardholder", "shipping", "billing", "owner"),
    *("author", "recipient", "subscriber", "subscribers", "student", "students", "staff", "buyer"),
    *("seller", "sender", "receiver", "holder", "lead", "leads"),
}
_PERSONAL_NAMES = {
    "an e-mail address": r"e_?mail(?:_address|_addr)?|mail_address",
    "a telephone number": r"phone(?:_number|_no)?|telephone|tel|mobile(?:_number)?|cell_?phone|fax(?:_number)?",
    "a person's name": r"(?:first|last|given|family|full|middle|maiden)_?names?|sur_?name|fore_?name|nick_?name|"
    r"user_?name|login|screen_name",
    "a postal address": r"address(?:es)?|address_line(?:_?\d)?|line_?[12]|street(?:_name|_address|_number)?|"
    r"house_(?:number|no)|zip(?:_?code)?|post_?code|postal_code",
    "a date of birth": r"birth(?:_?day|_?date)?|date_of_birth|dob|birth_year",
    "a bank account or a card": r"iban|bic|account_(?:number|no|holder)|card_(?:number|no|holder)|pan|sort_code|"
    r"routing_number",
    "an official number": r"ssn|social_security(?:_number)?|tax_(?:id|number)|vat_id|passport(?:_number|_no)?|"
    r"national_id|driv(?:er|ing)s?_licen[cs]e(?:_number)?",
    "a network address": r"ip|ip_?v[46]|ip_addr(?:ess)?|remote_addr|mac_address",
    "a trait of a person": r"sex|religion|ethnicity|nationality|marital_status",
    "where a person is": r"lat|latitude|lng|lon|long|longitude|geo_?location",
}
_NAMED = [(what, re.compile(rf"(?:^|.*_)(?:{pattern})$")) for what, pattern in _PERSONAL_NAMES.items()]
_NAMES_OF_PERSONS = {"name", "display_name", "real_name"}
_ONLY_OF_PERSONS = ("where a person is", "a trait of a person")

_EMAIL_WITHIN = re.compile(rf"(?<![A-Za-z0-9_+.-]){EMAIL.pattern}(?![A-Za-z0-9-])")
_PHONE = re.compile(r"(?:\+[0-9]|\(?[0-9]{1,4}\)?[ -])[0-9() .-]{5,22}")
_DASHED_SSN = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CARD = re.compile(r"[3-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}")
_FULL_NAME = re.compile(r"[A-Z][a-zà-ÿ'-]+(?: [A-Z][a-zà-ÿ'-]*\.?)? [A-Z][A-Za-zà-ÿ'-]+")
_KEY_TEXT = re.compile(r"(?:sk|rk|pk)_(?:live|test)_\w{8,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\..*|AKIA[A-Z0-9]{16}|ghp_\w{20,}")
_MOST, _FEW = 0.8, 3


def classify(source: str, path: tuple[str, ...], values: Sequence[Any]) -> Guess | None:
    """What a field probably is, and a sentence why; None if nothing speaks for personal data.

    Args:
        source: name of the source; `name` is a person's in `customers`, and not in `products`.
        path: where the field stands in a record, outermost name first.
        values: its values as `sample.plain` gives them, nulls left out; a list or an object counts with all it holds.
    """
    found = [guess for inner, inside in _inside(path, values) for guess in _guesses(source, inner, inside)]
    secret = next((guess for guess in found if guess[0] is Classification.SECRET), None)
    return secret or next(iter(found), None)


def _inside(path: tuple[str, ...], values: Sequence[Any]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """The fields of one value after the other: what lists and objects hold, each by its path."""
    found: dict[tuple[str, ...], list[Any]] = {path: []}
    pending = [(path, value) for value in reversed(values)]
    while pending:
        here, value = pending.pop()
        if isinstance(value, dict):
            pending += [((*here, name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            pending += [(here, inner) for inner in value]
        elif value is not None:
            found.setdefault(here, []).append(value)
    yield from found.items()


def _guesses(source: str, path: tuple[str, ...], values: Sequence[Any]) -> Iterator[Guess]:
    name = snake_case(path[-1])
    shown = f"`{path[-1]}`"
    texts = [str(value) for value in values if isinstance(value, str | int | Decimal) and not isinstance(value, bool)]
    flags = bool(values) and all(isinstance(value, bool) for value in values)
    if _SECRET_NAME.search(name) and not flags:
        yield Classification.SECRET, f"{shown} is what a secret is called"
    if texts and (why := _secret_values(texts)):
        yield Classification.SECRET, why
    if flags:
        return  # `email_verified`, `has_phone`
    personal = _is_of_person(source, path)
    for what, pattern in _NAMED:
        if pattern.match(name) and (personal or what not in _ONLY_OF_PERSONS):
            yield Classification.PII, f"{shown} sounds like {what}"
    whose = name.removesuffix("_name").split("_")[-1]
    if (personal and name in _NAMES_OF_PERSONS) or (name.endswith("_name") and whose in _PERSON):
        yield Classification.PII, f"{shown} sounds like the name of a person"
    strings = [value for value in values if isinstance(value, str)]
    if strings and (why := _personal_values(strings)):
        yield Classification.PII, why


def _is_of_person(source: str, path: tuple[str, ...]) -> bool:
    words = {word for part in (source, *path) for word in snake_case(part).split("_")}
    return bool(words & _PERSON)


def _secret_values(texts: Sequence[str]) -> str | None:
    if any(_KEY_TEXT.fullmatch(text) for text in texts):
        return "some values look like a key to a service"
    cards = [text for text in texts if _CARD.fullmatch(text) and _keeps_luhn(text)]
    if len(set(cards)) >= _FEW and len(cards) >= _MOST * len(texts):
        return "its values look like numbers of payment cards, with the right check digit"
    return None


def _personal_values(texts: Sequence[str]) -> str | None:
    if any("@" in text and _EMAIL_WITHIN.search(text) for text in texts):
        return "some values hold an e-mail address"
    shapes: Sequence[tuple[str, Callable[[str], object]]] = (
        ("its values look like telephone numbers", _is_phone),
        ("its values look like IP addresses", IPV4.fullmatch),
        ("its values look like social security numbers", _DASHED_SSN.fullmatch),
        ("its values look like IBANs, with the right check digits", _is_iban),
        ("its values look like first and last names", _FULL_NAME.fullmatch),
    )
    for why, looks in shapes:
        fitting = sum(bool(looks(text)) for text in texts)
        if fitting >= _MOST * len(texts) and (fitting >= _FEW or fitting == len(texts) == 1):
            return why
    return None


def holds_person(name: str) -> bool:
    """Whether the name of a field is itself a person's e-mail address."""
    return "@" in name and _EMAIL_WITHIN.search(name) is not None


def _is_phone(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    return bool(_PHONE.fullmatch(text)) and 7 <= digits <= 15 and not is_day(text[:10])


def _keeps_luhn(text: str) -> bool:
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "")
    if not _IBAN.fullmatch(compact):
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1
