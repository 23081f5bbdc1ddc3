"""What the lexer of CoreNLP 3.4.1's PTBTokenizer takes for a token, as expressions for espret.scoring.ptb.automaton.

The rules are tried together: the longest match wins, what must follow included, and of equally long ones the first.
What becomes of a matched token is said by the rule's function in `forms`; what the tokenizer as a whole does is
`tokenizer`. Facts about the lexer in this project's own words and order, compared with it for all texts at once by
tests/scoring/ptb/test_ptb_rules.py. A letter in an expression stands for both cases, in a class for itself, as there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from espret.scoring.ptb import chars as ptb_chars
from espret.scoring.ptb.forms import (
    always,
    closing,
    dashes,
    fraction,
    joined,
    money,
    named_brackets,
    nothing,
    opening,
    phone,
    plain_ampersand,
    same,
    unhyphenated,
)


@dataclass(frozen=True)
class Rule:
    """What a token looks like, what it becomes, and what must follow: part of the match, not of the token.

    `back`: how many characters at its end are read again, as the beginning of the next token.
    """

    token: str
    form: Callable[[str], str] = same
    before: str = ""
    back: int = 0


@functools.cache
def names() -> dict[str, str | frozenset[str]]:
    """What stands in braces in the rules."""
    sets = {
        "letter": ptb_chars.letters(),
        "digit": ptb_chars.digits(),
        "mark": ptb_chars.characters(ptb_chars.WORD_MARKS),
        "symbol": ptb_chars.characters(ptb_chars.SYMBOLS),
    }
    return {**EXPRESSIONS, **sets}


EXPRESSIONS = {
    "any": "[^\n] | [\n]",
    "blank": "[ \t\xa0\u2000-\u200a\u3000]",
    "gap": "{blank} | [\r] [\n] | [\n\r\v\f\x85\u2028\u2029]",
    "ascii": "[A-Za-z]",
    "ascii_digit": "[0-9]",
    "ascii_either": "[A-Za-z0-9]",
    "clause_mark": "[,;:\u3001]",
    "amp": "&amp;",
    # words
    "word_letter": "{letter} | {mark} | \xad | & [aeiouAEIOU] (acute | grave | uml) ;",
    "word_part": "{word_letter} ({word_letter} | {digit})*",
    "word": "{word_part} ([.!?] {word_part})*",
    "apostrophe": "['\x92\u2019] | &apos;",
    "any_apostrophe": "{apostrophe} | [`\x91\u2018\u201b]",
    "verb": "{apostrophe} ([msdMSD] | re | ve | ll)",
    "not": "n {any_apostrophe} t",
    # what hyphens, slashes and other signs join
    "part": "([dDoOlL] {any_apostrophe} ({letter} | {digit}))? ({letter} | {digit})+",
    "thing": "{part} ([-_\u058a\u2010\u2011] {part})*",
    "compound": "{ascii_either} [A-Za-z0-9.,\xad]* (- ([A-Za-z0-9\xad]+ | {initials} [.]))+",
    "company": "[A-Z]+ (([+&] | {amp}) [A-Z]+)+",
    "side": "{ascii_either}+ (- {ascii}+){0,2}",
    "file_part": "({word_letter} | {digit})+",
    "file_type": """bat | bmp | c | cgi | class | cpp | dll | docx? | exe | gif | gz | h | html? | jar | java | jpe?g
        | mov | mp3 | pdf | php | pl | png | ppt | ps | py | sql | tar | txt | wav | x | xml | zip""",
    # numbers
    "number": "[-+]? ({digit}+ | {digit}* ([.:,\xad\u066b\u066c] {digit}+)+)",
    "few": "{digit}{1,4}",
    "area": "{ascii_digit}{2,4}",
    "phone_gap": "[- \xa0]",
    "phone_end": "{ascii_digit}{3,5}",
    # abbreviations
    "nations": "(Canada | EU | Japan | Korean | Sino | non) -U[.]S | U[.]S[.]- (U[.]K | U[.]S[.]S[.]R)",
    "initials": "{ascii} ([.] {ascii})+ | {nations}",
    "month_or_day": """Jan | Feb | Mar | Apr | Jun | Jul | Aug | Sept? | Oct | Nov | Dec
        | Mon | Tues? | Wed | Thu (rs)? | Fri""",
    "state": """Ala | Ariz | [A]z | [A]rk | Calif | Colo | Conn | Ct | Dak | [D]el | Fla | Ga | [I]ll | Ind | Kans? | Ky
        | [L]a | [M]ass | Md | Mich | Minn | [M]iss | Mo | Mont | Neb | Nev | Okla | [O]re | [P]a | Penn | Tenn | [T]ex
        | Va | Vt | [W]ash | Wisc? | Wyo""",
    "firm": "Assn | Bancorp | Bhd | Corp | Cos? | Inc | Intl | Ltd | Plc | Pp? t [ye] s? | Rt | Sys | Univ",
    "closed": """({month_or_day} | {state} | {firm} | al | Bldg | Blvd | Bros | Esq | est | etc | ext | Jr
        | (Ed | Ph)[.]D | Rd | seq | sq | Sr | tel) [.]""",
    "title": """Adj | Adm | Adv | Asst | Assoc | Attys? | Ave | Brig | Capt | Col | Co?mdr | Cpl | Det | Drs? | Ens | Ft
        | Gen | Govs? | Hon | Insp | Lieut | Lt | Maj | Messrs | [M]iss | Mlle | Mme | Mr | Mrs | Ms | Msgr | Mt | Pfc
        | Pres | Profs? | Pvt | Reps? | Rev | Sens? | Sfc | Sgt | Spc | Ste? | Supts?""",
    "open": """{title} | {ascii} | {initials} | a[.]k[.]a | Alex | cf | Cie | Dept | Elec | Invt | Jos | M[ft]g | Natl
        | Ph | TREAS | vs | Wm""",
    "counted": "art | bldg | ca | figs? | nos? | op | pp | prop",
    # Words that begin a sentence even after an abbreviation.
    "starter": """[A] (bout | ccording | dditionally | fter | n | s | t)? | [B]ut | [E]arlier | [H]e (re? | [r])?
        | [H]owever | [I] (f | n | t) | [L]ast | [M]any | [M]ore | [M] (r | s) [.] | [N]ow | [O] (nce | ne | ther | ur)
        | [S] (he | ince | o | ome | uch) | [T]h (at | e | eir | en | ere | ese | ey | is) | [W] (e | hat | hen | hile)
        | [Y] (et | ou)""",
    "sentence": "{gap}+ ({starter} | {tag}) {gap}",
    # mark-up and the net
    "tag_name": "{ascii} [-A-Za-z0-9_:.]*",
    "attribute": "[ ]+ {tag_name} ([ ]* = [ ]* (' [^']* ' | \" [^\"]* \"))?",
    "tag": "< ([!?] [-A-Za-z] [^>\r\n]* | {tag_name} {attribute}* [ ]* /? | / {tag_name}) [ ]* >",
    "host_part": "[^ \t\n\f\r\"`'<>|.!?(){},-_$]+ [.]",
    "www_part": '[^ \t\n\f\r"<>|.!?(){},]+ [.]',
    "url_end": '[^ \t\n\f\r"<>|.!?(){},-]',
    "mail_part": '[^ \t\n\f\r"<>|(){}.\xa0]+',
    # marks
    "double_quote": '" | &quot;',
    "curly_quote": "[`\u2018-\u201f\x91-\x94\u2039\u203a\xab\xbb]",
}

SPLIT_WORDS = ("cannot", "gimme", "gonna", "gotta", "lemme", "wanna")

WORDS = [
    Rule("cannot | 'twas", back=3),
    Rule("gimme | gonna | gotta | lemme | wanna | 'tis", back=2),
    Rule("{word}", unhyphenated, before="{verb}"),
    Rule("[A-Za-z\xad]* [A-MO-Za-mo-z] \xad*", unhyphenated, before="{not}"),
    Rule("{word}", unhyphenated),
    Rule("{word} [.]", unhyphenated, before="{clause_mark}"),
    Rule("y{apostrophe}", before="{letter}"),
    Rule("{apostrophe} (cause | em | till? | [2-9]0s) | {apostrophe} n {apostrophe}?"),
    Rule("([dDjJlL] | Dunkin | ol | somethin) {apostrophe}"),
    Rule("c'mon | cont'd[.]? | e'er | ev'ry | li'l | nat'l | nor'easter | s'mores | O {any_apostrophe} o"),
    Rule("[A-HJ-XZn] {any_apostrophe} {letter} {letter}+"),
    Rule("{letter}+ [aeiouyAEIOUY] {any_apostrophe} [aeiouA-Z] {letter}*"),
    Rule("{verb}", closing, before="[^A-Za-z]"),
    Rule("{not}", closing, before="[^A-Za-z]"),
]

MARKUP_AND_NET = [
    Rule("{tag}", joined),
    Rule("{amp}", plain_ampersand),
    Rule("& (MD | mdash | ndash) ; | [\x96\x97\u2013-\u2015]", always("--")),
    Rule("& (HT | TL | UR | LR | QC | QL | QR | odq | cdq | # {ascii_digit}+) ;"),
    Rule("&nbsp;", nothing),
    Rule('https?:// [^ \t\n\f\r"<>|(){}]+ {url_end}'),
    Rule('(www[.] {www_part}+ {ascii}{2,4} | {host_part}+ (com | net | org | edu)) (/ [^ \t\n\f\r"<>|()]+ {url_end})?'),
    Rule('(< | &lt;)? {ascii_either} [^ \t\n\f\r"<>|(){}\xa0]* @ ({mail_part} [.])* {mail_part} (> | &gt;)?'),
    Rule("@ [A-Za-z_] [A-Za-z_0-9]* | # {word_letter}+"),
]

NUMBERS_AND_MONEY = [
    Rule("{digit}{1,2} [-/] {digit}{1,2} [-/] {digit}{2,4}"),
    Rule("{number}", unhyphenated),
    Rule("[\u207a\u207b\u208a\u208b]? ([\u2070\xb9\xb2\xb3\u2074-\u2079]+ | [\u2080-\u2089]+)"),
    Rule("({few} {phone_gap})? {few} (\\\\? / | \u2044) {few}", joined),
    Rule("[\xbc-\xbe\u2153-\u215e]", fraction),
    Rule("[A-Z]* [$] | #"),
    Rule("[\xa2-\xa5\x80\u20a0\u20ac\u060b\u0e3f\u20a4\uffe0\uffe1\uffe5\uffe6]", money),
    Rule(
        """([(] {ascii_digit}{2,3} [)] [ \xa0]? | ([+]{1,2})? ({area} {phone_gap})? {area} {phone_gap})
        {ascii_digit}{3,4} {phone_gap}? {phone_end}""",
        phone,
    ),
    Rule("(([+]{1,2})? {area} [.])? {area} [.] {ascii_digit}{3,4} [.] {phone_end}"),
]

JOINED_PARTS = [
    Rule("c[+][+] | (c | f)#"),
    Rule(
        """-(L | R)(R | C | S)B- | C[.]D[.]s | anti- | pro- | Cap {apostrophe} n | c {apostrophe} est
        | S (& | {amp}) (P-500 | Ls)""",
        plain_ampersand,
    ),
    Rule("{side} (\\\\? / {side}){1,2}"),
]

ABBREVIATIONS = [
    # One letter and a full stop is no abbreviation at the end of a sentence.
    Rule("{ascii} [.]", before="{sentence}", back=1),
    Rule("{initials} [.]", before="{sentence}"),
    Rule("{counted} [.]", before="{gap}? {digit}"),
    Rule("(pt[eyEY] | co) [.]", before="{blank} (ltd | lim)"),
    Rule("{closed}", before="{any} {any} | {gap} {tag}"),
    Rule("{closed}"),
    Rule("{open} [.]"),
    Rule("{open}", before="{blank}"),
    Rule("{ascii} | {initials}", before="{gap}"),
    Rule("{apostrophe} {ascii_digit}{2,2}", before="{gap}"),
    Rule("{file_part} ([.] {file_part})* [.] {file_type}", before="{gap} | [.?!,]"),
]

QUOTES = [
    Rule("{double_quote}", opening, before="[A-Za-z0-9$]"),
    Rule("{double_quote}", closing),
    Rule("'", opening, before="[A-Za-z] [^ \t\n\r\xa0]"),
    Rule("{verb} | {not}", closing),
    Rule("{apostrophe} | '' | {curly_quote}{1,2}", closing),
    Rule("<< | >>"),
]

BRACKETS_AND_FACES = [
    Rule("< | &lt;", always("<")),
    Rule("> | &gt;", always(">")),
    Rule("[(]", always("-LRB-")),
    Rule("[)]", always("-RRB-")),
    Rule("\\[", always("-LSB-")),
    Rule("\\]", always("-RSB-")),
    Rule("\\{", always("-LCB-")),
    Rule("\\}", always("-RCB-")),
    Rule("[<>]? [:;=] [-o*']? [()DPdpO\\\\{@|[\\]]", named_brackets, before="[^A-Za-z0-9]"),
    Rule("[-^x=~<>'] _ [-^x=~<>'] | [(] [-^x=~<>'] [_.]? [-^x=~<>'] [)]", named_brackets),
    Rule("[(] [\\^x=~<>'] - [\\^x=~<>'`] [)]", named_brackets),
    # Surely a slip of the lexer's: the tilde means "all up to".
    Rule("[\\^x=~<>] [.] \\[ ^ x = [^<]* < > \\]", named_brackets),
]

SIGNS = [
    Rule("-+", dashes),
    Rule("[.]{3,5} | ([.] [ \xa0]){2,4} [.] | [\x85\u2026]", always("...")),
    Rule("{clause_mark} | [?!]+ | [.\xa1\xbf\u037e\u0589\u061f\u06d4\u0700-\u0702\u07fa\u3002] | = | /"),
    Rule("@+ | #+ | _+ | [*]+ | (\\\\ [*]){1,3}"),
    Rule("[+&~^|\\\\\u2044\u207a\u207b\u208a\u208b] | {symbol}"),
]

COMPOUNDS = [
    Rule("{compound} [.]", unhyphenated, before="{clause_mark}"),
    Rule("{compound}", unhyphenated),
    Rule("{thing} [.]", before="{clause_mark}"),
    Rule("{thing}"),
    Rule("{company} [.]", plain_ampersand, before="{clause_mark}"),
    Rule("{company}", plain_ampersand),
]

BETWEEN_TOKENS = [
    Rule("{blank}+ | [\\0\x7f\u200b\u200e\u200f\ufeff]", nothing),
    Rule("{gap}", nothing),
    Rule("{any}", nothing),
]

RULES = [
    *WORDS,
    *MARKUP_AND_NET,
    *NUMBERS_AND_MONEY,
    *JOINED_PARTS,
    *ABBREVIATIONS,
    *QUOTES,
    *BRACKETS_AND_FACES,
    *SIGNS,
    *COMPOUNDS,
    *BETWEEN_TOKENS,
]
