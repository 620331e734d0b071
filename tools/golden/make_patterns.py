"""What Python's `re` makes of regular expressions, in data/io/patterns.json: [pattern, text, null or [fullmatch, span of search]].

Patterns that Python refuses have null. Half are written by hand, half drawn at random from a grammar.

Usage: python make_patterns.py [COUNT] [SEED]
"""

import json
import random
import re
import signal
import sys
import warnings

from common import DATA

COUNT, SEED = (int(argument) for argument in (sys.argv[1:] + ["900", "7"][len(sys.argv) - 1 :]))
PATHS = ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj", "transformer.h.3.attn.c_attn", "lm_head"]
WRITTEN = [
    r".*\.q_proj",
    r"model\.layers\.\d+\.self_attn\.(q|v)_proj",
    r"(.*\.)?(layers\.(0|11)\..*proj)$",
    r"(?i).*Q_PROJ\Z",
    r"\Amodel\.layers\.(?P<idx>[0-9]+)\.mlp\..*",
    r"(?s:.)*_proj",
    r".*\.h\.[0-3]\.attn\.c_\w++",
    r"(?>.*\.)c_attn",
    r"^(?!.*mlp).*proj$",
    r".*(?<=self_attn\.)[qk]_proj",
    r"(?x) model \. layers \. \d+ \. (?# all of it ) .* # to the end",
    r"(?:(?i:LM)|x)_head",
    r"((.*)*)*proj",
    r"(a|b)\1",
    r"(?P<a>l)(?P=a)m_head",
    r"(?<name>lm_head)",
    r"(lm)?(?(1)_head|x)",
    r".*proj(?i)",
    r"lm_head\z{2}",
    r"\p{L}+",
    r"lm[[:punct:]]head",
    r"lm\_head",
    r"lm\-head",
    r"[\w.]{1,31}",
    r"lm_head{1}",
    r"lm_head{",
    r"lm_head{,1}",
    r"lm_head{,}",
    r"\u006cm_head",
    r"\154m_head",
    r"\lm_head",
    r"[^]]+",
    r"[]l]m_head",
    r"[a-\d]",
    r"x*+*",
    r"(",
    r")",
    r"[",
    r"\\",
    "\\",
    "",
]
TEXTS = ["", "a", "a\n", "\n", "٣", "ª", "ß", "ſ", "K", "İ", "ı", "k", "I", "é", "e\u0301", "\x1c", "\x85", "\ufeff", "😀", "a b_1"]
SHORT = [r"\d", r"\w", r"\W+", r"\s", r".", r"a$", r"a\Z", r"(?m)a$", r"(?a)\w", r"(?i)k", r"(?ai)k", r"(?i)i", r"(?i)[h-j]", r"(?i)ſ", r"\b", r"\B", r"(?s).+", r"[^a]", r"(?<!a)\n", r"\bé\b"]
CHARACTERS = list("aaabbbcAB.-_ 1\n") + ["é"]
ATOMS = ["a", "b", "c", ".", r"\d", r"\w", r"\s", r"\W", r"\D", "[ab]", "[^a]", "[a-c]", r"\.", "A", "_", "1", r"\b", r"\B", "^", "$", r"\A", r"\Z", r"[\w.]", r"[^\s]", "é", r"\n"]
QUANTIFIERS = ["*", "+", "?", "{2}", "{1,2}", "{,2}", "{0,}", "*?", "+?", "??", "*+", "++", "?+", "{1,2}+", "{1,3}?"]
ODD = ["(?#c)", "(?i)", "(?x) ", "[]a]", "[^]a]", "{", "a{1", r"\1", r"\q", "x**", "[b-a]", "[[]", r"\07", r"\x41", r"\u0061", r"[\1]"]

draw = random.Random(SEED)


def pattern(depth: int) -> str:
    r = draw.random()
    if depth <= 0 or r < 0.35:
        return draw.choice(ATOMS)
    inner = lambda: pattern(depth - 1)
    if r < 0.6:
        return "".join(inner() for _ in range(draw.randint(1, 3)))
    if r < 0.73:
        return f"({inner()}|{inner() if r < 0.7 else ''})"
    if r < 0.9:
        return f"(?:{inner()})" + draw.choice(QUANTIFIERS)
    if r < 0.94:
        return draw.choice(["(?=", "(?!", "(?<=", "(?<!", "(?>"]) + inner() + ")"
    if r < 0.97:
        return draw.choice(["(?i:", "(?s:", "(?m:", "(?-i:", "(?a:"]) + inner() + ")"
    return draw.choice(ODD)


def late(*_):
    raise TimeoutError


def units(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def judged(source: str, text: str):
    try:
        compiled = re.compile(source)
    except re.error:
        return [source, text, None]
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        whole, found = compiled.fullmatch(text), compiled.search(text)
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    span = found and [units(text[: found.start()]), units(text[: found.end()])]
    return [source, text, [whole is not None, span]]


def drawn():
    source = draw.choice(["", "", "", "", "(?i)", "(?s)", "(?m)", "(?im)"]) + pattern(4)
    return source, "".join(draw.choice(CHARACTERS) for _ in range(draw.randint(0, 10)))


warnings.simplefilter("ignore")
signal.signal(signal.SIGALRM, late)
pairs = [(source, text) for source in WRITTEN for text in PATHS] + [(source, text) for source in SHORT for text in TEXTS]
cases = [case for pair in pairs + [drawn() for _ in range(COUNT)] if (case := judged(*pair))]
path = DATA / "io" / "patterns.json"
path.parent.mkdir(parents=True, exist_ok=True)
lines = ",\n".join(json.dumps(case) for case in cases)
path.write_text(f"[\n{lines}\n]\n")
print(f"{path}: {len(cases)} cases")
