"""The ids of entities that every implementation must agree on."""

from typing import Final

SECRET: Final = bytes(range(32))
CARD: Final = "4111111111111111"
CARD_ID: Final = "hmac:0622241201382a45912fb22828b3f7db"

VECTOR: Final = (
    ("596", "596"),
    ("C-1029 ", "C-1029 "),
    ("", ""),
    ("4111111111111112", "4111111111111112"),
    ("41111111117", "41111111117"),
    ("63040000000000000000", "63040000000000000000"),
    ("id 4111111111111111", "id 4111111111111111"),
    ("411111******1111", "411111******1111"),
    ("\u0664111111111111111", "\u0664111111111111111"),
    (CARD, CARD_ID),
    (" 4111 1111 1111 1111", CARD_ID),
    ("4111-1111\u00a01111\u20131111", CARD_ID),
    ("\ufeff4111\u200b1111\t1111\x001111", CARD_ID),
    ("5019717010103742", "hmac:cc0ea21a01011a3e3d47ec796c6b8835"),
    ("000000000000", "hmac:8a6adab6ef730aaef905f09e4f2182cf"),
    ("6304000000000000000", "hmac:82957bbf57e58ad321211a72860b9919"),
)
"""Values and their ids with the key `SECRET`: a card number is 12 to 19 ASCII digits that pass Luhn."""
