"""Checksums of numbers that name a person or an account; each takes digits and capitals only."""

from __future__ import annotations

from collections import Counter
from datetime import date

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_ODD_DIGITS = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD_LETTERS = (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD = {
    **dict(zip("0123456789", _ODD_DIGITS, strict=True)),
    **dict(zip("ABCDEFGHIJ", _ODD_DIGITS, strict=True)),
    **dict(zip("KLMNOPQRSTUVWXYZ", _ODD_LETTERS, strict=True)),
}
IBAN_LENGTHS = {
    "AD": 24,
    "AE": 23,
    "AL": 28,
    "AT": 20,
    "AZ": 28,
    "BA": 20,
    "BE": 16,
    "BG": 22,
    "BH": 22,
    "BI": 27,
    "BR": 29,
    "BY": 28,
    "CH": 21,
    "CR": 22,
    "CY": 28,
    "CZ": 24,
    "DE": 22,
    "DJ": 27,
    "DK": 18,
    "DO": 28,
    "EE": 20,
    "EG": 29,
    "ES": 24,
    "FI": 18,
    "FK": 18,
    "FO": 18,
    "FR": 27,
    "GB": 22,
    "GE": 22,
    "GI": 23,
    "GL": 18,
    "GR": 27,
    "GT": 28,
    "HN": 28,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IL": 23,
    "IQ": 23,
    "IS": 26,
    "IT": 27,
    "JO": 30,
    "KW": 30,
    "KZ": 20,
    "LB": 28,
    "LC": 32,
    "LI": 21,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "LY": 25,
    "MC": 27,
    "MD": 24,
    "ME": 22,
    "MK": 19,
    "MN": 20,
    "MR": 27,
    "MT": 31,
    "MU": 30,
    "NI": 28,
    "NL": 18,
    "NO": 15,
    "OM": 23,
    "PK": 24,
    "PL": 28,
    "PS": 29,
    "PT": 25,
    "QA": 29,
    "RO": 24,
    "RS": 22,
    "RU": 33,
    "SA": 24,
    "SC": 31,
    "SD": 18,
    "SE": 24,
    "SI": 19,
    "SK": 24,
    "SM": 27,
    "SO": 23,
    "ST": 25,
    "SV": 28,
    "TL": 23,
    "TN": 24,
    "TR": 26,
    "UA": 29,
    "VA": 22,
    "VG": 24,
    "XK": 20,
    "YE": 30,
}


def luhn(digits: str) -> bool:
    """Return whether the last digit is Luhn's (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(written: str) -> bool:
    """Return whether country, length and remainder by 97 are an IBAN's (ISO 13616, ISO 7064)."""
    if IBAN_LENGTHS.get(written[:2]) != len(written):
        return False
    moved = written[4:] + written[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def social_security_us(digits: str) -> bool:
    """Return whether area, group and serial may be issued; there is no checksum."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def national_insurance_uk(written: str) -> bool:
    """Return whether the prefix may be issued; there is no checksum."""
    return written[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def nir_france(written: str) -> bool:
    """Return whether the key is that of a French NIR; Corsica's 2A and 2B count as 19 and 18."""
    number = written[:13].replace("2A", "19", 1) if written[5:7] == "2A" else written[:13]
    number = number.replace("2B", "18", 1) if written[5:7] == "2B" else number
    return number.isdigit() and 97 - int(number) % 97 == int(written[13:])


def tax_id_germany(digits: str) -> bool:
    """Return whether it is a German tax id: one digit comes twice or thrice, ISO 7064 MOD 11,10."""
    first = digits[:10]
    counts = Counter(first)
    repeated = [n for n in counts.values() if n > 1]
    if digits[0] == "0" or len(repeated) != 1 or repeated[0] > 3:
        return False
    if any(d * 3 in first for d in counts):
        return False
    product = 10
    for digit in first:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def dni_spain(written: str) -> bool:
    """Return whether the letter is that of a Spanish DNI, or of a foreigner's NIE (X, Y, Z)."""
    number = written[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return number.isdigit() and _DNI[int(number) % 23] == written[-1]


def fiscal_code_italy(written: str) -> bool:
    """Return whether the last letter is that of a codice fiscale (decree of 23 December 1976)."""
    total = 0
    for place, character in enumerate(written[:15], start=1):
        if place % 2:
            total += _ODD[character]
        else:
            total += int(character) if character.isdigit() else ord(character) - ord("A")
    return chr(ord("A") + total % 26) == written[15]


def citizen_number_netherlands(digits: str) -> bool:
    """Return whether it passes the eleven test of a Dutch BSN; eight digits lack a leading 0."""
    padded = digits.zfill(9)
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    total = sum(w * int(d) for w, d in zip(weights, padded, strict=True))
    return total % 11 == 0 and int(padded) > 0


def day(written: str) -> bool:
    """Return whether the first eight digits are a day of a calendar, year first or last."""
    digits = "".join(c for c in written if c.isdigit())[:8]
    if len(digits) < 6:
        return False
    orders = ((0, 4, 4, 6, 6, 8), (4, 8, 2, 4, 0, 2), (4, 8, 0, 2, 2, 4))
    return any(_is_day(digits, order) for order in orders)


def _is_day(digits: str, order: tuple[int, ...]) -> bool:
    try:
        found = date(*(int(digits[a:b]) for a, b in zip(order[::2], order[1::2], strict=True)))
    except ValueError:
        return False
    return 1850 <= found.year <= 2200
