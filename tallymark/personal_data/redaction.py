"""Redaction: requests without the mail addresses, phone numbers and card numbers in their texts."""

import base64
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import polars as pl

from tallymark.personal_data.cards import are_card_numbers
from tallymark.personal_data.phones import are_phone_numbers
from tallymark.personal_data.segments import (
    IDENTITIES,
    is_number,
    literals,
    names_of_pairs,
    pairs,
)
from tallymark.personal_data.tokens import (
    NAME_OF_PHONE,
    NOT_DIGITS,
    PHONE_PREFIX,
    PRESETS,
    RETINA,
    SIGNS,
    grammar,
)

TEXTS: Final = ("query", "body", "referer", "origin")
"""The columns of requests that hold what pages say."""
MARKS: Final = {kind: f"({kind})" for kind in PRESETS}
"""What stands in place of what was found: the same whether or not it is percent-encoded."""
_IS_JSON: Final = "^\ufeff?\\s*[{\\[]"
_PHONE_IN_QUOTES: Final = r"^\"[ +\-./()]*[0-9](?:[ \-./()]{0,3}[0-9]){5,14}[ ]*\"$"
_PHONE_AS_NUMBER: Final = r"(?s)^(\s*:\s*)[0-9]{6,15}((?:\s*[,}\]].*)?)$"


@dataclass(frozen=True)
class Redacted:
    """Requests without personal data.

    Attributes:
        requests: ``REQUEST_SCHEMA``; those that held none are what they were, to the byte.
        values: How many values of each of ``PRESETS`` that was looked for were taken out.
    """

    requests: pl.DataFrame
    values: dict[str, int]


def redacted(requests: pl.DataFrame, kinds: Collection[str] = PRESETS) -> Redacted:
    """Requests with what is personal in them replaced by ``MARKS``.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns.
        kinds: Some of ``PRESETS``.
    """
    wanted = tuple(kind for kind in PRESETS if kind in kinds)
    values = dict.fromkeys(wanted, 0)
    if not wanted:
        return Redacted(requests, values)
    changed = []
    for column in TEXTS:
        texts = requests.get_column(column)
        if column == "body":
            texts = _readable(texts, requests.get_column("body_encoding"))
        suspects = texts.str.contains(_signs(wanted)).arg_true()
        if not len(suspects):
            continue
        found = _redacted_texts(texts.gather(suspects), wanted, may_be_json=column == "body")
        for kind in wanted:
            values[kind] += int(found.get_column(kind).sum())
        after = _recorded(found.get_column("text"), requests, suspects, column)
        changed.append(requests.get_column(column).clone().scatter(suspects, after))
    return Redacted(requests.with_columns(map(_anew, changed)) if changed else requests, values)


def _anew(texts: pl.Series) -> pl.Series:
    """Texts in bytes of their own: Arrow's views would carry along all that they were cut from."""
    return pl.select(pl.concat_str(pl.lit(""), texts).alias(texts.name)).to_series()


def without_texts(requests: pl.DataFrame) -> pl.DataFrame:
    """Requests of which nothing is left that pages say: for those that cannot be redacted."""
    nothing = [pl.lit("").alias(column) for column in TEXTS]
    return requests.with_columns(*nothing, pl.lit("utf-8").alias("body_encoding"))


def in_own_bytes(requests: pl.DataFrame) -> pl.DataFrame:
    """The same requests, their texts free of bytes of requests that they were a part of."""
    return requests.with_columns(_anew(requests.get_column(column)) for column in TEXTS)


@cache
def _signs(kinds: tuple[str, ...]) -> str:
    return "|".join(SIGNS[kind] for kind in kinds)


def _readable(bodies: pl.Series, encodings: pl.Series) -> pl.Series:
    """Bodies as text: the bytes of what is no UTF-8 as Latin-1, as they were masked."""
    packed = (encodings == "base64").arg_true()
    if not len(packed):
        return bodies
    unpacked = [base64.b64decode(text).decode("latin-1") for text in bodies.gather(packed)]
    return bodies.clone().scatter(packed, pl.Series(unpacked, dtype=pl.String))


def _recorded(
    texts: pl.Series, requests: pl.DataFrame, places: pl.Series, column: str
) -> pl.Series:
    """Texts of a column as they are recorded: bytes that are no UTF-8 in base64 again."""
    packed = requests.get_column("body_encoding").gather(places) == "base64"
    if column != "body" or not packed.any():
        return texts
    again = [base64.b64encode(text.encode("latin-1")).decode() for text in texts.filter(packed)]
    return texts.clone().scatter(packed.arg_true(), pl.Series(again, dtype=pl.String))


def _redacted_texts(texts: pl.Series, kinds: tuple[str, ...], *, may_be_json: bool) -> pl.DataFrame:
    """``text`` and the number of values of each kind, a row a text."""
    is_json = texts.str.contains(_IS_JSON) & pl.Series([may_be_json])
    parts = []
    for in_json, cut in ((False, pairs), (True, literals)):
        rows = (is_json == in_json).arg_true()
        if len(rows):
            segments = cut(texts.gather(rows))
            done = _redacted_segments(segments, kinds, in_json=in_json)
            whole = done.group_by("row", maintain_order=True).agg(
                pl.col("text").str.join(""), *(pl.col(kind).sum() for kind in kinds)
            )
            parts.append(whole.with_columns(row=rows.gather(whole.get_column("row"))))
    return pl.concat(parts).sort("row")


def _redacted_segments(
    segments: pl.DataFrame, kinds: tuple[str, ...], *, in_json: bool
) -> pl.DataFrame:
    """``row``, ``text`` and the numbers of each kind of ``SEGMENT_SCHEMA``."""
    nothing = [pl.lit(0, pl.UInt32).alias(kind) for kind in kinds]
    is_suspect = pl.col("segment").str.contains(_signs(kinds))
    if in_json and "phone" in kinds:
        is_suspect |= pl.col("name").str.contains(NAME_OF_PHONE)
    places = segments.select(is_suspect).to_series().arg_true()
    suspects = segments[places].rename({"segment": "text"}).with_columns(nothing)
    if not in_json:
        suspects = suspects.with_columns(name=names_of_pairs(suspects.get_column("text")))
    done = _gone_over(suspects, kinds, in_json=in_json)
    whole = segments.select("row", pl.col("segment").alias("text"), *nothing)
    return whole.with_columns(
        whole.get_column(column).clone().scatter(places, done.get_column(column))
        for column in ("text", *kinds)
    )


def _gone_over(segments: pl.DataFrame, kinds: tuple[str, ...], *, in_json: bool) -> pl.DataFrame:
    """Segments, each looked through for what may be in a parameter of its name."""
    name = pl.col("name")
    groups = segments.select(
        pl.when(name.is_in(IDENTITIES))
        .then(pl.lit("identity"))
        .when(is_number(name, in_json=in_json))
        .then(pl.lit("number"))
        .otherwise(pl.lit("text"))
    ).to_series()
    for group, sought in (("identity", ("mail", "phone")), ("number", ("mail",)), ("text", kinds)):
        looked_for = tuple(kind for kind in sought if kind in kinds)
        places = (groups == group).arg_true()
        if not looked_for or not len(places):
            continue
        found = _lexed(segments[places], looked_for, in_json=in_json, ids=group == "identity")
        if group == "identity":
            found = _emptied(found, looked_for, in_json=in_json)
        segments = segments.with_columns(
            segments.get_column(column).clone().scatter(places, found.get_column(column))
            for column in ("text", *looked_for)
        )
    return segments


def _emptied(segments: pl.DataFrame, kinds: tuple[str, ...], *, in_json: bool) -> pl.DataFrame:
    """Ids that held personal data are none: one mark for all would make one visitor of all."""
    held = pl.any_horizontal(pl.col(kind) > 0 for kind in kinds) & pl.col("is_string")
    text = pl.col("text")
    empty = pl.lit('""') if in_json else text.str.replace(r"^([^=&\r\n]*=)[^&\r\n]*", "${1}")
    return segments.with_columns(text=pl.when(held).then(empty).otherwise(text))


def _lexed(
    segments: pl.DataFrame, kinds: tuple[str, ...], *, in_json: bool, ids: bool
) -> pl.DataFrame:
    """Segments with marks in their ``text``, and how many of each kind."""
    patterns = grammar(kinds, in_json=in_json)
    tokens = _tokens(segments, patterns.lexer)
    token = tokens.get_column("token")
    found = {kind: token.str.contains(getattr(patterns, kind)).alias(kind) for kind in kinds}
    if "mail" in kinds:
        found["mail"] &= ~token.str.contains(RETINA)
    if "phone" in kinds:
        found["phone"] = _narrowed(token, found["phone"], partial(_are_phones, with_zeros=not ids))
    if "card" in kinds:
        found["card"] = _narrowed(token, found["card"], _are_cards)
    tokens = tokens.with_columns(**found)
    tokens = tokens.with_columns(_marked(tokens, kinds))
    whole = tokens.group_by("row", maintain_order=True).agg(
        pl.col("token").str.join("").alias("text"), *(pl.col(kind).sum() for kind in kinds)
    )
    done = segments.with_columns(whole.drop("row").get_columns())
    return _with_named_phones(done) if in_json and "phone" in kinds else done


def _marked(tokens: pl.DataFrame, kinds: tuple[str, ...]) -> pl.Series:
    """Tokens, marks in place of those that are something; a number outside of quotes becomes a
    string."""
    marked = tokens.get_column("token").clone()
    for kind in kinds:
        places = tokens.get_column(kind).arg_true()
        if len(places):
            mark = pl.lit(MARKS[kind])
            if kind == "phone":
                name = pl.col("token").str.extract(PHONE_PREFIX).fill_null("")
                mark = pl.concat_str(name, mark)
            elif kind == "card":
                mark = pl.when("is_string").then(mark).otherwise(pl.lit(f'"{MARKS[kind]}"'))
            marks = tokens[places].with_columns(mark=mark)
            marked = marked.scatter(places, marks.get_column("mark"))
    return marked


def _tokens(segments: pl.DataFrame, lexer: str) -> pl.DataFrame:
    """``row``, ``token`` and ``is_string``, a row a token."""
    texts = segments.get_column("text").str.extract_all(lexer).alias("token")
    frame = segments.select("is_string", texts).with_row_index("row")
    return frame.explode("token")


def _narrowed(
    tokens: pl.Series, may_be: pl.Series, are: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Which of the tokens that may be something are it."""
    if not may_be.any():
        return may_be
    return may_be.clone().scatter(may_be.arg_true(), are(tokens.filter(may_be)))


def _are_phones(tokens: pl.Series, *, with_zeros: bool) -> pl.Series:
    name = tokens.str.extract(PHONE_PREFIX).fill_null("")
    digits = tokens.str.strip_prefix(name).str.replace_all(NOT_DIGITS, "")
    return name.str.contains("[A-Za-z]") | are_phone_numbers(digits, with_zeros=with_zeros)


def _are_cards(tokens: pl.Series) -> pl.Series:
    """The three digits behind a number of sixteen may be its verification code."""
    digits = tokens.str.replace_all(NOT_DIGITS, "")
    is_whole = ~tokens.str.contains(".", literal=True)
    with_code = (digits.str.len_bytes() == 19) & are_card_numbers(digits.str.head(16))
    return is_whole & (are_card_numbers(digits) | with_code)


def _with_named_phones(segments: pl.DataFrame) -> pl.DataFrame:
    """Values of JSON that only their name gives away, in quotes or not."""
    text, is_string = pl.col("text"), pl.col("is_string")
    is_named = pl.col("name").str.contains(NAME_OF_PHONE)
    quoted = is_named & is_string & text.str.contains(_PHONE_IN_QUOTES)
    bare = is_named & ~is_string & text.str.contains(_PHONE_AS_NUMBER)
    mark = f'"{MARKS["phone"]}"'
    return segments.with_columns(
        text=pl.when(quoted).then(pl.lit(mark))
        .when(bare).then(text.str.replace(_PHONE_AS_NUMBER, f"${{1}}{mark}${{2}}"))
        .otherwise(text),
        phone=pl.col("phone") + (quoted | bare).cast(pl.UInt32),
    )  # fmt: skip
