"""What is personal data, what only looks like it, and that nothing of it is shown."""

from __future__ import annotations

import random
import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.quality.personal import checksums
from airflow_ai_provider.core.quality.personal.kinds import (
    BY_NAME,
    CANDIDATE,
    KINDS,
    NO_CANDIDATE,
    plain,
)
from airflow_ai_provider.core.quality.personal.tally import look_at, mask, tail

EXAMPLES = {
    "email": ["anna.b@example.co.uk", "Write to o'neil+x@example.com.", "jürgen@bücher.de"],
    "phone": ["+49 30 901820", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "pay NO9386011117947 now"],
    "payment_card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "4012888888881881"],
    "us_ssn": ["078-05-1120"],
    "uk_nino": ["AB123456C", "jg 10 37 59 a"],
    "fr_nir": ["2 55 08 14 168 025 38", "255081416802538"],
    "de_tax_id": ["86 095 742 719", "47036892816"],
    "es_dni": ["12345678Z", "X1234567L"],
    "it_fiscal_code": ["RSSMRA85T10A562S", "mrtmtt25d09f205z"],
    "ip_address": ["203.0.113.9", "2001:db8::8a2e:370:7334"],
}


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in EXAMPLES.items() for value in values]
)
def test_each_kind_is_told_by_one_value(kind: str, value: str) -> None:
    assert [f.kind for f in look_at("note", [value])] == [kind]
    assert re.search(CANDIDATE, value)
    assert not re.search(NO_CANDIDATE, value)


@pytest.mark.parametrize(
    "value",
    [
        *("4111 1111 1111 1112", "4111111111111112", "GB82 WEST 1234 5698 7654 33"),
        *("666-05-1120", "900-05-1120", "078-00-1120", "GB123456C", "12345678A"),
        *("RSSMRA85T10A562T", "255081416802539", "86095742718", "203.0.113.256", "1.10.3.2"),
        *("127.0.0.1", "12:34:56", "00:1B:44:11:3A:B7", "anna@localhost", "2024-01-02"),
        *("2024-01-02 03:04:05", "1700000000", "1700000000000", "1700000000000000", "4111.11"),
        *("0.4111111111111111", "-4111111111111111", "1,234,567.89", "v4.11.1", "AB-123456"),
        *("550e8400-e29b-41d4-a716-446655440000", "4111111111111111111111", "", "ORD-2024-000123"),
        *("978-3-16-148410-0", "12345678", "2024-01-02T03:04:05.678901Z"),
    ],
)
def test_what_only_looks_like_it_is_let_be(value: str) -> None:
    assert look_at("note", [value]) == []


def numbers(digits: int, count: int, first: str = "123456789") -> list[str]:
    draw = random.Random(digits)
    return [
        draw.choice(first) + "".join(draw.choice(string.digits) for _ in range(digits - 1))
        for _ in range(count)
    ]


@pytest.mark.parametrize("digits", range(6, 20))
@pytest.mark.parametrize("first", ["123456789", "45"])
def test_ordinary_ids_are_nobodys_numbers(digits: int, first: str) -> None:
    """One in ten passes Luhn's check by chance: that proves nothing."""
    assert look_at("order_no", numbers(digits, 2000, first)) == []
    start = int(first[0] + "0" * (digits - 1))
    assert look_at("id", [str(start + i) for i in range(2000)]) == []
    assert look_at("id", [start + i for i in range(2000)]) == []


def test_prices_and_timestamps_are_nobodys_numbers() -> None:
    draw = random.Random(1)
    prices = [f"{draw.uniform(1, 1e9):.2f}" for _ in range(2000)]
    assert look_at("price", prices) == []
    assert look_at("price", [float(p) for p in prices]) == []
    assert look_at("share", [repr(draw.random()) for _ in range(2000)]) == []
    for unit in (1, 10**3, 10**6, 10**9):
        assert (
            look_at("at", [1_700_000_000 * unit + draw.randrange(unit * 10**6) for _ in range(500)])
            == []
        )


def with_luhn(digits: str) -> str:
    return next(digits + d for d in string.digits if checksums.luhn(digits + d))


def test_cards_in_a_column_of_numbers_are_found_though_one_is_not() -> None:
    cards = [int(with_luhn(n)) for n in numbers(15, 50, "4")]
    [found] = look_at("reference", cards)
    assert (found.kind, found.count) == ("payment_card", 50)
    assert look_at("card_number", cards[:1])[0].count == 1


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("bsn", "111222333", "nl_bsn"),
        ("clientPhone", "030 901820", "phone"),
        ("ssn", 78051120, None),
        ("SSN", "078051120", "us_ssn"),
        ("credit_card", "4222222222222", "payment_card"),
        ("client_ip", "10.0.0.1", "ip_address"),
        ("Geburtsdatum", "02.01.1990", "date_of_birth"),
        ("dob", "1990-01-02", "date_of_birth"),
        ("dob", 19900102, "date_of_birth"),
        ("dob", "unknown", None),
        ("hotel", "0309018200", None),
    ],
)
def test_a_column_s_name_says_what_a_value_alone_does_not(
    column: str, value: object, kind: str | None
) -> None:
    assert [f.kind for f in look_at("code", [value])] == []
    assert [f.kind for f in look_at(column, [value])] == ([kind] if kind else [])


def test_bsns_are_found_in_a_column_without_a_name() -> None:
    valid = [n for n in numbers(9, 2000) if checksums.citizen_number_netherlands(n)]
    assert [f.kind for f in look_at("code", valid[:40])] == ["nl_bsn"]


@given(
    value=st.one_of(
        st.text(max_size=40),
        st.from_regex(r"\A[0-9 -]{5,30}\Z"),
        st.sampled_from([v for values in EXAMPLES.values() for v in values]),
    ),
    kind=st.sampled_from(KINDS),
)
def test_a_mask_never_is_the_value(value: str, kind: object) -> None:
    shown = mask(value, kind)  # type: ignore[arg-type]
    if any(c.isalnum() for c in value):
        assert shown != value or set(plain(value)) <= set("x")
    kept = [c for c in shown if c.isalnum() and c not in "x#"]
    if kind.name != "email":  # type: ignore[attr-defined]
        assert len(kept) <= 2


@given(value=st.sampled_from([v for vs in EXAMPLES.values() for v in vs]), copies=st.integers(1, 9))
def test_findings_hold_counts_and_no_value(value: str, copies: int) -> None:
    [found] = look_at("note", [f"see {value}", *[f"see {value}"] * (copies - 1), "nothing"])
    assert found.count == copies
    shown = str(found.as_dict()) + found.sentence()
    digits = re.sub(r"[^0-9A-Za-z]", "", value)
    assert digits not in re.sub(r"[^0-9A-Za-z]", "", shown)


def test_chance_falls_with_what_passes() -> None:
    assert tail(1, 1, 0.1) == pytest.approx(0.1)
    assert tail(2, 2, 0.1) == pytest.approx(0.01)
    assert tail(100, 1000, 0.1) == 1.0
    assert tail(130, 1000, 0.1) < 0.01
    assert tail(100_000, 100_000, 0.1) == 0.0
    assert tail(1, 5, 0.0) == 0.0


@given(st.integers(0, 10**10 - 1))
def test_a_wrong_digit_breaks_the_check(number: int) -> None:
    """Luhn's and the remainder by 97 find every single wrong digit."""
    card = with_luhn(f"{number:010d}")
    wrong = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert not checksums.luhn(wrong)
    account = f"{number:018d}"
    check = 98 - int(account + "131400") % 97
    assert checksums.iban(f"DE{check:02d}{account}")
    assert not checksums.iban(f"DE{check:02d}{account[:-1]}{(int(account[-1]) + 1) % 10}")


@pytest.mark.parametrize("piece", ["'", "a", "a.", "1", "1 ", "a@", "a:", "(1", "-1", "GB1"])
def test_a_long_text_takes_no_time_of_its_own(piece: str) -> None:
    """No pattern goes back over what it saw again and again."""
    started = time.process_time()
    look_at("note", [piece * 20_000])
    assert time.process_time() - started < 2


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(KINDS) == 13
