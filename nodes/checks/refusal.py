"""The check for what is no answer: a refusal, an error page, an error object, a stack trace, passed off as content.

It is conservative: what it fails is short or of a form that nobody writes as content. It knows

- an apology or "as an AI language model" that begins a text of at most 600 characters, in nine languages, without
  quotation marks before it (a character may say so);
- HTML whose title or heading names an error; JSON objects with an `error` and nothing but what belongs to one;
- a text that begins as the stack traces of Python, Java, JavaScript, Go or .NET do;
- a text of at most 200 characters that is nothing but an error of a server: "429 Too Many Requests".

A refusal in a long text, or in another language, it does not find.
"""

from __future__ import annotations

import re

import orjson

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.workflows.values import JsonObject

REFUSAL_CHARS = 600
ERROR_CHARS = 200
_BEGINNING = 2000
"""Characters that are looked at for how a text begins."""

_NOT = r"(?:can(?:no|'|\u2019)t|can not|(?:am|'m|\u2019m) (?:not able|unable)|won(?:'|\u2019)t)"
_SORRY = (
    r"(?:unfortunately|(?:i(?:'|\u2019)m|i am) (?:very |so |really )?sorry|sorry|i apologi[sz]e|my apologies"
    r"|as an ai(?: language)?(?: model| assistant)?)[,.]? (?:but )?"
)
_BROAD = (
    r"(?:assist|help|comply|fulfil|provide|create|write|generate|continue|produce|do that|answer|discuss|engage"
    r"|complete|support|process|access|browse)"
)
_REFUSALS = re.compile(
    rf"(?:{_SORRY}){{1,2}}i ?{_NOT} (?:to )?(?:\w+ )?{_BROAD}"
    rf"|i ?{_NOT} (?:to )?(?:assist|comply|fulfil|help (?:you )?with|provide|generate|engage in|process your)"
    r"|as an ai (?:language model|assistant)\b|as a large language model\b"
    # German, French, Spanish, Italian, Portuguese, Dutch
    r"|(?:es tut mir leid|tut mir leid|leider),? .{0,80}\bnicht (?:helfen|weiterhelfen|dienen|nachkommen"
    r"|erf\u00fcllen|beantworten|schreiben|erstellen|bereitstellen|unterst\u00fctzen)"
    r"|als ki-(?:sprachmodell|modell|assistent)"
    r"|(?:je suis )?d\u00e9sol\u00e9e?,? (?:mais )?je ne (?:peux|suis) pas .{0,40}(?:aider|r\u00e9pondre"
    r"|g\u00e9n\u00e9rer|cr\u00e9er|\u00e9crire|fournir)|en tant que mod\u00e8le de langage"
    r"|lo siento,? (?:pero )?no puedo .{0,40}(?:ayudar|proporcionar|generar|crear|escribir|cumplir|responder)"
    r"|como modelo de lenguaje"
    r"|mi dispiace,? (?:ma )?non posso .{0,40}(?:aiutar|fornir|generar|crear|scriver|soddisfar|risponder)"
    r"|come modello (?:di linguaggio|linguistico)"
    r"|(?:desculpe|sinto muito|lamento),? (?:mas )?n\u00e3o posso .{0,40}(?:ajudar|fornecer|gerar|criar|escrever"
    r"|atender|responder)|como (?:um )?modelo de linguagem"
    r"|(?:het spijt me|sorry),? (?:maar )?ik kan\b.{0,80}\bniet (?:helpen|geven|schrijven|maken|beantwoorden|voldoen)"
    r"|als (?:ai-)?taalmodel"
    # Chinese, Japanese
    r"|(?:\u5f88)?(?:\u62b1\u6b49|\u5bf9\u4e0d\u8d77)[\uff0c,]?\u6211(?:\u65e0\u6cd5|\u4e0d\u80fd).{0,20}"
    r"(?:\u5e2e\u52a9|\u63d0\u4f9b|\u56de\u7b54|\u751f\u6210|\u6ee1\u8db3|\u534f\u52a9)"
    r"|\u4f5c\u4e3a(?:\u4e00\u4e2a|\u4e00\u6b3e)?(?:ai|\u4eba\u5de5\u667a\u80fd)"
    r"(?:\u8bed\u8a00\u6a21\u578b|\u52a9\u624b)"
    r"|\u7533\u3057\u8a33(?:\u3042\u308a\u307e\u305b\u3093|\u3054\u3056\u3044\u307e\u305b\u3093)\u304c"
    r".{0,60}"
    r"(?:\u3067\u304d\u307e\u305b\u3093|\u304a\u7b54\u3048)",
    re.IGNORECASE | re.DOTALL,
)
_CODE = (
    r"(?:(?:error|exception)\b[\s:!-]{0,5})?(?:http(?:/\d(?:\.\d)?)?\s*)?(?:error\s*)?(?:code\s*)?"
    r"(?:[45]\d\d)?[\s:,-]{0,5}"
)
_STRONG = (
    r"(?:the )?(?:rate limit(?:ed)?(?: exceeded| reached)|too many requests|quota exceeded|insufficient[_ ]quota"
    r"|you exceeded your current quota|internal server error|bad gateway|service (?:temporarily )?unavailable"
    r"|gateway time-?out|request time(?:d)? ?-?out|overloaded_error|model (?:is )?(?:currently )?overloaded"
    r"|context length exceeded|invalid api key|incorrect api key|upstream (?:request timeout|connect error)"
    r"|no healthy upstream|an (?:unexpected |internal )?error (?:has )?occurred)"
)
_WEAK = (
    r"(?:forbidden|unauthori[sz]ed|access denied|not found|overloaded|network error|something went wrong"
    r"|connection (?:reset|refused|timed out|error|aborted)(?: by peer)?|rate limit(?:ed)?|time(?:d)? ?-?out)"
)
_ERRORS = re.compile(
    rf"{_CODE}{_STRONG}(?=\s*(?:$|[.!,:;({{\[\u2013\u2014-]|please\b|try\b|per\b))|{_CODE}{_WEAK}[\s.!]*$",
    re.IGNORECASE,
)
_TRACES = re.compile(
    r"traceback \(most recent call last\):"
    r"|exception in thread \"|[\w.$]+(?:exception|error)(?::[^\n]*)?\n\s+at \S"
    r"|unhandled exception[.:]|panic: [^\n]+\n+goroutine \d+|goroutine \d+ \[",
    re.IGNORECASE,
)
_HTML_ERROR = re.compile(
    r"<(?:title|h1)[^>]*>[^<]{0,80}(?:\b[45]\d\d\b|error|not found|bad gateway|forbidden|unavailable"
    r"|too many requests|access denied|timed? ?-?out|just a moment|attention required)",
    re.IGNORECASE,
)
_OF_ERRORS = frozenset(
    {
        "error",
        "errors",
        "message",
        "code",
        "status",
        "statuscode",
        "status_code",
        "type",
        "detail",
        "details",
        "title",
    }
    | {"request_id", "requestid", "trace_id", "timestamp", "path", "param", "success", "ok", "retry_after", "reason"}
)
"""Names of fields that an error object is made of."""
_WHITE = " \t\r\n\ufeff"


class Refusal(CheckKind):
    """Fails an output that refuses, or reports an error, in place of an answer."""

    name = "refusal"
    example = "refusal"

    def examine(self, produced: Produced, params: CheckParams) -> str | None:
        value = produced.value
        if isinstance(value, str):
            return self.examine_text(value, params)
        return _error_object(value) if isinstance(value, dict) else None

    def examine_text(self, text: str, params: CheckParams) -> str | None:
        start = text[:_BEGINNING].lstrip(_WHITE)
        if start.startswith(("{", "<")):
            return _error_in(start, text)
        if _TRACES.match(start):
            return "the answer is a stack trace"
        return _refusal_in(start, text) if len(text) <= REFUSAL_CHARS else None


def _error_in(start: str, text: str) -> str | None:
    """Say what a web page or a JSON object is in place of an answer."""
    if start.startswith("<"):
        is_page = start[:15].lower().startswith(("<!doctype html", "<html"))
        return "the answer is the web page of an error" if is_page and _HTML_ERROR.search(start) else None
    if len(text) > 10 * _BEGINNING:
        return None
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return _error_object(read)


def _refusal_in(start: str, text: str) -> str | None:
    """Say what a short text is in place of an answer."""
    if len(text) <= ERROR_CHARS and _ERRORS.match(start):
        return f'the answer is an error of a server: "{start.strip()[:80]}"'
    if _REFUSALS.match(start):
        return f'the answer, of {len(text)} characters, refuses: "{start[:60].strip()}"'
    return None


def _error_object(value: JsonObject) -> str | None:
    names = {str(name).lower() for name in value}
    if any(value.get(name) for name in ("error", "errors")) and names <= _OF_ERRORS:
        return "the answer is an error object"
    return None
