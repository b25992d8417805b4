"""The kinds of personal data that are looked for, and what tells each.

A form is a pattern with a check of what it found. A check that digits drawn at random would often
pass (Luhn lets one in ten through) proves little of one value and much of a column: ``chance`` is
how often, and ``proof`` how unlikely chance must be before a column is said to hold the kind. In a
column that is named for it, what passes the check counts at once, and ``named_form`` too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from airflow_ai_provider.core.quality.personal import checksums

# What may hold any of them, for RE2 and Python alike; cheap, and true of much else.
CANDIDATE = (
    r"(?i)[^\s@]@[^\s@]+\.[^\s@.]"
    r"|[0-9](?:[ ./()-]{0,2}[0-9]){6}"
    r"|[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    r"|[0-9a-f]:[0-9a-f:]*:[0-9a-f]*:"
    r"|[a-z]{2}[0-9]{2} ?[a-z0-9]{4} ?[a-z0-9]{4}"
    r"|[a-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[a-d]"
    r"|[a-z]{6}[0-9lmnpqrstuv]{2}[abcdehlmprst]"
    r"|[12] ?[0-9]{2} ?[0-9]{2} ?2[ab]"
)
# Whole values that are no candidates: days, times and UUIDs.
NO_CANDIDATE = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}[0-9:.]*(Z|[+-][0-9:]+)?)?$"
    r"|^[0-9]{2}:[0-9]{2}(:[0-9.]+)?$"
    r"|^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
)

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BEFORE, _AFTER = r"(?<![0-9A-Za-z_.,+-])", r"(?![0-9A-Za-z_]|[.,-][0-9A-Za-z])"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way in which a kind is written."""

    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    chance: float = 0.0
    proof: float = 0.05


@dataclass(frozen=True, kw_only=True)
class PersonalKind:
    """A kind of personal data. ``numbers``: it may stand in a column of numbers."""

    name: str
    title: str
    forms: tuple[Form, ...]
    named: re.Pattern[str]
    named_form: Form | None = None
    numbers: bool = False
    dates: bool = False  # a column of days or times that is named for it holds it

    def named_in(self, column: str) -> bool:
        """Return whether ``column`` is named for it: ``clientEmail``, ``E-Mail``, ``ssn``."""
        spelt = re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", column).lower())
        return bool(self.named.search(spelt))

    def dated(self, column: str) -> bool:
        """Return whether ``column``, one of days, is named for it."""
        return self.dates and self.named_in(column)


def _form(
    written: str,
    valid: Callable[[str], bool] = lambda _: True,
    *,
    chance: float = 0.0,
    proof: float = 0.05,
) -> Form:
    pattern = re.compile(f"{_BEFORE}(?:{written}){_AFTER}", re.IGNORECASE | re.ASCII)
    return Form(pattern=pattern, valid=valid, chance=chance, proof=proof)


def plain(written: str) -> str:
    """Return ``written`` without what separates its parts, in capitals."""
    return "".join(c for c in written if c.isalnum()).upper()


def _on(check: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda written: check(plain(written))


def _card(written: str) -> bool:
    digits = plain(written)
    return len(set(digits)) > 1 and checksums.luhn(digits)


def _iban(written: str) -> bool:
    """Return whether it begins with an IBAN: a word that follows may look like a part of it."""
    text = plain(written)
    length = checksums.IBAN_LENGTHS.get(text[:2], 99)
    return len(text) >= length and checksums.iban(text[:length])


def _phone(written: str) -> bool:
    digits = plain(written)
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2


def _address(written: str) -> bool:
    """Return whether it is somebody's address: no version number, no machine of its own."""
    try:
        found = ipaddress.ip_address(written)
    except ValueError:
        return False
    small = found.version == 4 and all(octet < 32 for octet in found.packed)
    return not (small or found.is_unspecified or found.is_loopback or found.is_multicast)


def _any_address(written: str) -> bool:
    try:
        return bool(ipaddress.ip_address(written))
    except ValueError:
        return False


def _email(written: str) -> bool:
    local, _, host = written.rpartition("@")
    return ".." not in written and len(local) <= 64 and not host.startswith((".", "-"))


def _names(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|_)(?:{words})(?:_|$)")


_CARD_START = r"(?:4|5[1-5]|2[2-7]|6(?:011|4|5|2)|3[0-9])"
_EMAIL = re.compile(
    r"(?<![\w.%+'-])[\w.%+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}\.[^\W\d_]{2,24}(?![\w-])"
)
_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_V6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:]{3,39}(?![0-9A-Za-z:.])"
)
_BARE_PHONE = r"\(?\+?[0-9](?:[ ./()-]{0,2}[0-9]){6,14}"

KINDS: tuple[PersonalKind, ...] = (
    PersonalKind(
        name="email",
        title="e-mail addresses",
        forms=(Form(pattern=_EMAIL, valid=_email),),
        named=_names("e_?mail|mail|courriel|correo"),
    ),
    PersonalKind(
        name="phone",
        title="telephone numbers",
        forms=(
            Form(
                pattern=re.compile(
                    r"(?<![0-9A-Za-z_.+-])\+[1-9][0-9]{0,2}(?:[ ./()-]{0,2}[0-9]){6,13}"
                    rf"{_AFTER}"
                ),
                valid=_phone,
            ),
            _form(r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-.][0-9]{4}"),
        ),
        named=_names("phone|phone_?(?:no|number)|telephone|tel|mobile|cell|fax|telefon|handy"),
        named_form=_form(_BARE_PHONE, lambda written: 7 <= len(plain(written)) <= 15),
        numbers=True,
    ),
    PersonalKind(
        name="iban",
        title="IBANs",
        forms=(
            _form(
                r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?",
                _iban,
                chance=1 / 97,
            ),
        ),
        named=_names("iban|bank_?account"),
    ),
    PersonalKind(
        name="payment_card",
        title="payment card numbers",
        forms=(
            _form(
                rf"(?={_CARD_START})[0-9]{{4}}(?:([ -])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}"
                r"|([ -])[0-9]{6}\2[0-9]{4,5})",
                _card,
                chance=0.1,
                proof=0.35,  # written in groups as on a card: three in ten may be mistaken
            ),
            _form(rf"(?={_CARD_START})[0-9]{{16}}|3[47][0-9]{{13}}", _card, chance=0.1, proof=0.11),
            _form(rf"(?={_CARD_START})(?:[0-9]{{14}}|[0-9]{{19}})", _card, chance=0.1, proof=0.001),
        ),
        named=_names("card|card_?(?:no|number)|credit_?card|pan|cc|cc_?(?:no|num|number)"),
        named_form=_form(r"[0-9](?:[ -]?[0-9]){11,18}", _card),
        numbers=True,
    ),
    PersonalKind(
        name="us_ssn",
        title="US social security numbers",
        forms=(_form(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _on(checksums.social_security_us)),),
        named=_names("ssn|social_?security(?:_?(?:no|number))?"),
        named_form=_form(r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}", _on(checksums.social_security_us)),
        numbers=True,
    ),
    PersonalKind(
        name="uk_nino",
        title="UK national insurance numbers",
        forms=(
            _form(
                r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
                _on(checksums.national_insurance_uk),
            ),
        ),
        named=_names("nino|national_?insurance(?:_?(?:no|number))?"),
    ),
    PersonalKind(
        name="fr_nir",
        title="French social security numbers",
        forms=(
            _form(
                r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[AB])"
                r" ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
                _on(checksums.nir_france),
                chance=1 / 97,
            ),
        ),
        named=_names("nir|secu|securite_?sociale|insee"),
        numbers=True,
    ),
    PersonalKind(
        name="de_tax_id",
        title="German tax ids",
        forms=(
            _form(
                r"[1-9][0-9](?: ?[0-9]{3}){3}",
                _on(checksums.tax_id_germany),
                chance=0.004,
                proof=0.01,
            ),
        ),
        named=_names("steuer_?id(?:nr)?|steuer_?identifikationsnummer|idnr|tax_?id"),
        numbers=True,
    ),
    PersonalKind(
        name="es_dni",
        title="Spanish DNIs and NIEs",
        forms=(
            _form(
                r"(?:[0-9]{8}|[XYZ]-?[0-9]{7})-?[A-HJ-NP-TV-Z]",
                _on(checksums.dni_spain),
                chance=1 / 23,
            ),
        ),
        named=_names("dni|nie|nif"),
    ),
    PersonalKind(
        name="it_fiscal_code",
        title="Italian fiscal codes",
        forms=(
            _form(
                r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
                _on(checksums.fiscal_code_italy),
                chance=1 / 26,
            ),
        ),
        named=_names("codice_?fiscale|fiscal_?code"),
    ),
    PersonalKind(
        name="nl_bsn",
        title="Dutch citizen service numbers",
        forms=(
            _form(
                r"[0-9]{9}|[0-9]{4}\.[0-9]{2}\.[0-9]{3}",
                _on(checksums.citizen_number_netherlands),
                chance=1 / 11,
                proof=0.0001,
            ),
        ),
        named=_names("bsn|burger_?service_?nummer|sofi(?:_?nummer)?"),
        named_form=_form(r"[0-9]{8,9}", _on(checksums.citizen_number_netherlands)),
        numbers=True,
    ),
    PersonalKind(
        name="ip_address",
        title="IP addresses",
        forms=(_form(_V4, _address), Form(pattern=_V6, valid=_address)),
        named=_names("ip|ip_?addr(?:ess)?|client_?ip|remote_?addr"),
        named_form=_form(_V4, _any_address),
    ),
    PersonalKind(
        name="date_of_birth",
        title="dates of birth",
        forms=(),
        named=_names(
            "birth_?(?:date|day)|date_?of_?birth|dob|born|born_?on|geburtsdatum|geburtstag"
            "|date_?(?:de_?)?naissance|fecha_?(?:de_?)?nacimiento|data_?(?:di_?)?nascita"
            "|geboorte_?datum"
        ),
        named_form=_form(
            r"[0-9]{4}[-/.]?[0-9]{1,2}[-/.]?[0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}",
            checksums.day,
        ),
        numbers=True,
        dates=True,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
