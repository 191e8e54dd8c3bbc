"""Classifies columns and members by name as card secret, card number or personal data, also within a text."""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from itertools import dropwhile
from typing import Final

from fraudstream.transactions.cards import MASK, fold, hide, mask_digits, replace_spans


class Sensitivity(StrEnum):
    """How a value must be treated."""

    SECRET = "verification code, PIN or track data"  # noqa: S105 - it is none
    """Sensitive authentication data, which PCI DSS 4.0 (3.3) does not allow to be stored: it is removed."""
    CARD = "card number"
    """Masked except for its first six and last four digits."""
    PERSONAL = "national id or expiry date"
    """Masked completely."""

    def mask(self, value: str) -> str:
        """Mask a value of this kind."""
        return mask_digits(value) if self is Sensitivity.CARD else hide(value)


LONGEST_NAME: Final = 200
_MOST_WORDS: Final = 6

# Anywhere in a name.
_SECRETS: Final = """
cvv, cvv 1, cvv 2, icvv, dcvv, cvc, cvc 1, cvc 2, icvc, csc, cvn, cvn 2, cvd, cvd 2, cav 2, cid 2, card cid, cc cid
amex cid, pvv, card code, security code, verification code, verification value, verification number
card verification
prüfziffer, prüfnummer, kartenprüfnummer, kartenprüfziffer, pruefziffer, pruefnummer, kartenpruefnummer, sicherheitscode
kartensicherheitscode, código de seguridad, código seguridad, código de verificación, código verificación
código de segurança, código segurança, código de verificação, código verificador, cryptogramme, code de sécurité
code sécurité, code de vérification, codice di sicurezza, codice sicurezza, codice di verifica, beveiligingscode
veiligheidscode, controlecode, kod bezpieczeństwa, kod zabezpieczający, bezpečnostní kód, säkerhetskod, sikkerhetskode
sikkerhedskode, turvakoodi, güvenlik kodu, проверочный код, код безопасности, код проверки, код подлинности
安全码, 安全碼, 校验码, 验证码, 驗證碼, セキュリティコード, 보안코드
pin block, pin data, pin offset, pin verification, encrypted pin, bloque pin, bloc pin, пин блок
track 1, track 2, track 3, track i, track ii, track iii, track one, track two, track data, track equivalent, track value
magstripe, magstrip, mag stripe, magnetic stripe, magnetstreifen, banda magnética, bande magnétique, piste 1, piste 2
pista 1, pista 2, магнитная полоса
"""

# Alone, or after words for its owner.
_PINS: Final = """
pin, pin code, pin number, pin value, pincode, geheimzahl, código pin, code pin, codice pin, пин, пин код
"""
_OWNERS: Final = "card, cc, user, customer, client, atm, debit, credit, account, payment, old, new, entered, clear, my"

# Words in names that describe such a value without containing it, like `used_pin_number` and `cvv_result`.
_DESCRIPTIVE: Final = """
match, matched, matches, mismatch, result, results, response, present, presence, check, checked, status, provided, flag
verified, is, has, used, length, len, indicator, valid, invalid, error, retries, tries, attempts, attempt, count
changed, type, mode, method, capability, capable, entry, required, failed, reason, supported, format, fallback, days
months, years, hours, to, until, since
"""

# At the end of a name.
_CARDS: Final = """
pan, fpan, dpan, primary account number, credit card, kartennummer, kreditkartennummer, número de tarjeta
número tarjeta, numéro de carte, numéro carte, numero di carta, numero carta, número do cartão, número cartão
kaartnummer, numer karty, kortnummer, номер карты, 卡号, カード番号
"""
_HOLDERS: Final = ("card", "cc", "credit card", "debit card", "payment card", "card account")
_NUMBERS: Final = ("number", "num", "no", "nr", "pan")
_PERSONAL: Final = """
ssn, social security, social security number, social security no, social insurance number, national id
national id number, national insurance number, nino, national identity number, tax id, tax id number, tin, itin
tax identification number, taxpayer id, passport, passport number, passport no, drivers license, driver license
drivers license number, driver license number, driving licence number, id card number, identity card number, cpf, cnpj
dni, nie, nif, curp, codice fiscale, steuer id, steuernummer, steueridentifikationsnummer, sozialversicherungsnummer
ausweisnummer, personalausweisnummer, reisepassnummer, personnummer, bsn, burgerservicenummer, pesel, aadhaar, aadhar
aadhaar number, aadhar number, numéro de sécurité sociale, numéro sécurité sociale, снилс, инн, паспорт, номер паспорта
身份证, 身份证号, マイナンバー
expiry, expiry date, expiry month, expiry year, expires, expiration, expiration date, expiration month, expiration year
exp date, exp month, exp year, exp mm, exp yy, card exp, cc exp, card expires, valid thru, valid through, good thru
ablaufdatum, gültig bis, gueltig bis, verfallsdatum, verfalldatum, fecha de vencimiento, fecha vencimiento, vencimiento
fecha de caducidad, fecha caducidad, caducidad, date d expiration, date de expiration, date expiration
data di scadenza, data scadenza, scadenza, data de validade, data validade, validade, vervaldatum, data ważności
срок действия, действует до, 有效期, 有効期限
"""

# Only next to a card number: elsewhere `cid` is a customer id and `exp` an experience.
_BESIDE_A_CARD: Final = {"cid": Sensitivity.SECRET, "exp": Sensitivity.PERSONAL}

_SEPARATOR: Final = re.compile(r"[\w.\- ]{0,40}+(?:\\{0,8}[\"'])?\s{0,3}[:=>]{1,2}\s{0,3}")
_NAME: Final = re.compile(r"[\w.\- ]*+")
_VALUE: Final = re.compile(
    r'"(?:[^"\\]++|\\.)*+'
    r"|'(?:[^'\\]++|\\.)*+"
    r"""|\\{1,8}["'][^"'\\]*+"""
    r"""|[^\s,;&"'\\{}()\[\]|<>]++(?:[ \-]\d++)*+""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"(\\.)|[^\W_]", re.DOTALL)
_NO_VALUE: Final = frozenset({"null", "none", "true", "false", ""})

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_BEFORE_A_HUMP: Final = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")


def _terms(listing: str) -> list[str]:
    return [fold(term.strip()) for line in listing.strip().splitlines() for term in line.split(",")]


_CARD_TERMS: Final = _terms(_CARDS) + [f"{holder} {number}" for holder in _HOLDERS for number in _NUMBERS]
_EVERY_TERM: Final = [*_terms(_SECRETS), *_terms(_PINS), *_CARD_TERMS, *_terms(_PERSONAL)]


def _joined(terms: list[str]) -> frozenset[str]:
    return frozenset("".join(term.split()) for term in terms)


_OWNER_WORDS: Final = frozenset(_terms(_OWNERS))
_ABOUT_WORDS: Final = frozenset(_terms(_DESCRIPTIVE))
_SECRET_NAMES: Final = _joined(_terms(_SECRETS))
_PIN_NAMES: Final = _joined(_terms(_PINS))
_CARD_NAMES: Final = _joined(_CARD_TERMS)
_PERSONAL_NAMES: Final = _joined(_terms(_PERSONAL))

_FIRST_WORDS: Final = {term.split()[0][:5] for term in _EVERY_TERM}
MENTION: Final = re.compile("|".join(sorted(map(re.escape, _FIRST_WORDS), key=len, reverse=True)))
"""The beginning of each such name, folded: a text without any of them mentions none."""


def sensitivity(path: str, *, beside_a_card: bool = False) -> Sensitivity | None:
    """Return the sensitivity of a column or member by its name; None if the name implies none.

    `path` is the dotted name including enclosing objects: `card.securityCode`. `beside_a_card` is whether a card number
    is in the same object.
    """
    path = path[-LONGEST_NAME:]
    kind = _sensitivity(path)
    if kind is None and beside_a_card:
        return _BESIDE_A_CARD.get(fold(path.rpartition(".")[2]).strip())
    return kind


@lru_cache(maxsize=8192)
def _sensitivity(path: str) -> Sensitivity | None:
    if MENTION.search(fold(path)) is None:
        return None
    around, _, own = path.rpartition(".")
    last = _words(own)
    words = (_words(around) + last)[-_MOST_WORDS * 2 :]
    if not last:
        return None
    is_about = not _ABOUT_WORDS.isdisjoint(last)
    if not is_about:
        first = len(words) - len(last)
        # All runs of words that extend into the last part.
        for begin in range(len(words)):
            for end in range(max(first, begin) + 1, min(begin + _MOST_WORDS, len(words)) + 1):
                if "".join(words[begin:end]) in _SECRET_NAMES:
                    return Sensitivity.SECRET
        without_owner = "".join(dropwhile(_OWNER_WORDS.__contains__, last))
        if "".join(last).rstrip("0123456789") in _PIN_NAMES or without_owner in _PIN_NAMES:
            return Sensitivity.SECRET
    while len(words) > 1 and words[-1].isdecimal():
        words.pop()
    endings = {"".join(words[-count:]) for count in range(1, min(len(words), _MOST_WORDS) + 1)}
    if endings & _CARD_NAMES:
        return Sensitivity.CARD
    return Sensitivity.PERSONAL if not is_about and endings & _PERSONAL_NAMES else None


def _words(name: str) -> list[str]:
    if not name.isascii():
        name = fold(_BEFORE_A_HUMP.sub(" ", name))
    return [word.lower() for word in _WORD.findall(name)]


class SensitiveNames:
    """Knows the names above and the declared ones, and masks the values after them in a text."""

    def __init__(self, declared: Iterable[str] = ()) -> None:
        """Declare additional columns with card numbers; their case does not matter."""
        self._declared = frozenset(fold(column.strip()) for column in declared if column.strip())
        names = (re.escape(name.rpartition(".")[2]) for name in self._declared)
        self._mention = re.compile("|".join((MENTION.pattern, *names))) if self._declared else MENTION

    def kind(self, path: str, *, beside_a_card: bool = False) -> Sensitivity | None:
        """Return the sensitivity of a member by its path."""
        if self._declared and ((lower := fold(path)) in self._declared or lower.rpartition(".")[2] in self._declared):
            return Sensitivity.CARD
        return sensitivity(path, beside_a_card=beside_a_card)

    def mask_fields(self, text: str, folded: str, most: int) -> tuple[str, int]:
        """Mask the values after sensitive names in a text; return it with the number of fields inspected."""
        spans: list[tuple[int, int, str]] = []
        inspected = at = 0
        while (mention := self._mention.search(folded, at)) is not None:
            at = mention.end()
            if (separator := _SEPARATOR.match(folded, at)) is None:
                continue
            inspected += 1
            if inspected > most:
                spans.append((at, len(text), hide(text[at:])))
                break
            match = _VALUE.match(text, separator.end())
            kind = self._kind_of_field(text, mention.start(), separator) if match is not None else None
            if match is not None and kind is not None and (value := match.group()).lower() not in _NO_VALUE:
                # A character after a backslash is not part of a value: \" and \n are unchanged.
                plain = kind is Sensitivity.CARD or "\\" not in value
                masked = kind.mask(value) if plain else _ESCAPED.sub(lambda char: char[1] or MASK, value)
                spans.append((*match.span(), masked))
                at = match.end()
        return replace_spans(text, spans), inspected

    def _kind_of_field(self, text: str, mention: int, separator: re.Match[str]) -> Sensitivity | None:
        begin = mention
        while begin > max(0, mention - 40) and (text[begin - 1].isalnum() or text[begin - 1] in "_-. "):
            begin -= 1
        match = _NAME.match(text, begin, separator.end())
        words = ("" if match is None else match.group()).split(" ")
        kinds = (self.kind(" ".join(words[first:])) for first in range(max(0, len(words) - 4), len(words)))
        return next((kind for kind in kinds if kind is not None), None)
