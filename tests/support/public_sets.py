"""Files in the shape of the public fraud sets, with values of their kind; what is fraud in them is clear."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

SPARKOV = (
    *("", "trans_date_trans_time", "cc_num", "merchant", "category", "amt", "first", "last", "gender", "street"),
    *("city", "state", "zip", "lat", "long", "city_pop", "job", "dob", "trans_num", "unix_time"),
    *("merch_lat", "merch_long", "is_fraud"),
)
PAYSIM = (
    *("step", "type", "amount", "nameOrig", "oldbalanceOrg", "newbalanceOrig", "nameDest", "oldbalanceDest"),
    *("newbalanceDest", "isFraud", "isFlaggedFraud"),
)
BANKSIM = (
    *("step", "customer", "age", "gender", "zipcodeOri", "merchant", "zipMerchant", "category", "amount", "fraud"),
)

_JOBS = ("Psychologist, counselling", 'Engineer\'s "mate"', "Buyer, retail", "Land/geomatics surveyor")
_CITIES = ("Moravian Falls", "Orient", "Peñasco", "100% Hill")


def write_sparkov(path: Path, rows: int = 1_200, *, seed: int = 1) -> Path:
    """Payments of 60 cards; frauds are dear, online and at night."""
    rng = np.random.default_rng(seed)
    start = datetime(2019, 1, 1, tzinfo=UTC)
    lines = []
    for row in range(rows):
        fraud = rng.random() < 0.08
        hour = int(rng.choice([22, 23, 0, 1])) if fraud else int(rng.integers(24))
        at = start + timedelta(hours=24 * (row * 40 // rows) + hour, seconds=int(rng.integers(3600)))
        card = int(rng.integers(60))
        category = str(
            rng.choice(["misc_net", "shopping_net"] if fraud else ["grocery_pos", "gas_transport", "misc_net"])
        )
        amount = rng.lognormal(5.5 if fraud else 3.5, 0.6)
        place = card % len(_CITIES)
        lines.append(
            (at, fraud, card, category, amount, place, f"fraud_{'Kirlin, Rippin' if card % 2 else 'Sporer-Keebler'}")
        )
    lines.sort(key=lambda line: line[0])
    return _write(
        path,
        SPARKOV,
        (
            (
                row, f"{at:%Y-%m-%d %H:%M:%S}", 2703186189652000 + card, merchant, category, f"{amount:.2f}",
                f"First{card}", f"Last{card}", "FM"[card % 2], f"{card} Perry Cove", _CITIES[place],
                ("NC", "WA", "NM", "MT")[place], 28000 + card, 36 + place, -81.2 - place, 3000 + 17 * card,
                _JOBS[card % 4], f"{1950 + card % 40}-03-{1 + card % 28:02}",
                f"{rng.integers(2**62):032x}", 1325376018 + row * 60, f"{rng.normal(36, 1):.6f}",
                f"{rng.normal(-81, 1):.6f}", int(fraud),
            )
            for row, (at, fraud, card, category, amount, place, merchant) in enumerate(lines)
        ),
    )  # fmt: skip


def write_paysim(path: Path, rows: int = 1_200, *, seed: int = 2) -> Path:
    """Transfers; frauds are large and empty an account by TRANSFER or CASH_OUT."""
    rng = np.random.default_rng(seed)

    def lines() -> Iterable[Sequence[object]]:
        for row in range(rows):
            fraud = rng.random() < 0.08
            kind = rng.choice(
                ["TRANSFER", "CASH_OUT"] if fraud else ["PAYMENT", "CASH_IN", "CASH_OUT", "TRANSFER", "DEBIT"]
            )
            amount = round(float(rng.lognormal(12.5 if fraud else 10, 1)), 2)
            before = amount if fraud else round(float(rng.lognormal(10, 2)), 2)
            after = round(max(before - amount, 0.0), 2)
            flagged = int(fraud and amount > 200_000)
            yield (
                1 + row // 30, kind, amount, f"C{rng.integers(10**9, 10**10)}", before, after,
                f"M{rng.integers(200)}", 0.0, round(float(rng.lognormal(9, 2)), 2), int(fraud), flagged,
            )  # fmt: skip

    return _write(path, PAYSIM, lines())


def write_banksim(path: Path, rows: int = 1_200, *, seed: int = 3) -> Path:
    """Payments with every text in single quotes; frauds are dear and for leisure or travel."""
    rng = np.random.default_rng(seed)

    def lines() -> Iterable[Sequence[object]]:
        for row in range(rows):
            fraud = rng.random() < 0.08
            category = rng.choice(
                ["es_leisure", "es_travel"] if fraud else ["es_transportation", "es_food", "es_travel"]
            )
            amount = rng.lognormal(5.5 if fraud else 3, 0.5)
            age, gender = rng.choice(list("0123456U")), rng.choice(list("FME"))
            yield (
                row // 20, f"'C{rng.integers(300)}'", f"'{age}'", f"'{gender}'",
                "'28007'", f"'M{rng.integers(8)}'", "'28007'", f"'{category}'", f"{amount:.2f}", int(fraud),
            )  # fmt: skip

    return _write(path, BANKSIM, lines())


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path
