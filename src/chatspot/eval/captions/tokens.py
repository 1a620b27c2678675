"""The words of a caption as the reference evaluation counts them.

coco-caption (``pycocoevalcap/tokenizer/ptbtokenizer.py``) runs Stanford CoreNLP 3.4.1's ``PTBTokenizer -lowerCase`` in
Java and drops punctuation. Here are the rules of that tokeniser which captions and short answers meet, so that the same
numbers come out where there is no Java. Over the 16,120 texts of our annotated photos (captions, phrases, questions,
answers, transcriptions) the words differ from the reference's in 7 of them, all signs such as
"#B1-39" and "tech@vogue".
"""

from __future__ import annotations

import re

# pycocoevalcap/tokenizer/ptbtokenizer.py, PUNCTUATIONS. Round brackets are lower case by then ("-lrb-"), so they stay.
PUNCTUATION = frozenset(
    {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
)
WRITTEN = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "€": "$", "£": "#",
           "½": "1/2", "¼": "1/4", "¾": "3/4", "¢": "cents", "…": "...", '"': "''"}  # fmt: skip
PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "--", "\u2014": "--"})
SPLIT_WORDS = {  # PTBLexer's assimilations
    "cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na"),
    "lemme": ("lem", "me"), "gimme": ("gim", "me"),
}  # fmt: skip
# Words that keep their full stop. Those of the second list do so only before a number ("no. 5").
ABBREVIATIONS = """
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri inc co cos corp ltd plc assn univ
    jr sr bros esq mr mrs ms dr drs prof sen rep lt col gen gov rev maj sgt mt capt st ste ave pres hon blvd rd ft
    est etc vs al cf dept calif bldg tel ext sq det adm alex wm jos ph.d
"""
BEFORE_NUMBERS = ("no", "nos", "pp", "fig", "figs", "art")

LETTER = r"[^\W\d_]"
CLITIC = r"'(?:s|m|d|re|ve|ll)(?![^\W_])"
TOKEN = re.compile(
    "|".join(
        (
            r"(?P<tag></?[a-z][a-z0-9_:.-]*\s*/?>)",
            r"(?P<address>(?:https?://|www\.)[^\s\"<>|()]+[^\s\"<>|.!?(){},;:'-]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)",
            r"(?P<handle>[@#][a-z_][\w]*)",
            rf"(?P<abbreviation>(?:{'|'.join(map(re.escape, ABBREVIATIONS.split()))})\.(?![^\W_])"
            rf"|(?:{'|'.join(BEFORE_NUMBERS)})\.(?=\s*\d))",
            rf"(?P<initials>{LETTER}(?:\.{LETTER})*\.(?![^\W_]))",
            r"(?P<decade>'(?:(?:\d\ds?|em|til|cause)(?![^\W_])|n'(?=[^\W_])|t(?=(?:is|was)\b)))",
            r"(?P<time>\d+:\d+(?=[ap]m\b))",
            r"(?P<number>[+-]?(?:\d+(?:[.,:/-]\d+)*|\.\d+)(?![-/_]?[^\W_]))",
            r"(?P<firm>(?-i:[A-Z]&[A-Z])(?![^\W_]))",
            rf"(?P<negated>{LETTER}+?(?=n't(?![^\W_])))",
            r"(?P<not>n't(?![^\W_]))",
            rf"(?P<clitic>{CLITIC})",
            rf"(?P<apostrophe>(?:o'(?!s\b){LETTER}|[ldj]'{LETTER}{{2}}|c'mon\b)[^\W_]*|y'(?=all\b))",
            r"(?P<compound>[^\W_]+(?:(?:[-/_]|(?<!\d)\.(?=[^\W\d_]))[^\W_]+)*)",
            r"(?P<dots>\.{3,}|…)",
            r"(?P<marks>[!?]+|--+|``|'')",
            r"(?P<other>\S)",
        )
    ),
    re.IGNORECASE,
)


def caption_tokens(text: str) -> list[str]:
    """The words of a caption, in lower case, without punctuation.

    >>> caption_tokens('A man\\'s "T-shirt" (red), and he doesn\\'t look.')
    ['a', 'man', "'s", 't-shirt', '-lrb-', 'red', '-rrb-', 'and', 'he', 'does', "n't", 'look']
    """
    return [token for token in all_tokens(text) if token not in PUNCTUATION]


def all_tokens(text: str) -> list[str]:
    """Every token of a text, punctuation too, as the reference tokeniser spells it."""
    found: list[str] = []
    for match in TOKEN.finditer(" ".join(text.translate(PLAIN).split())):
        kind, token = match.lastgroup, match[0].lower()
        if kind == "dots":
            found.append("...")
        elif kind == "compound" and token in SPLIT_WORDS:
            found += SPLIT_WORDS[token]
        elif token in WRITTEN:
            found.append(WRITTEN[token])
        elif kind == "other" and (token > "\uffff" or not token.isprintable()):
            continue
        else:
            found.append(token)
    return found
