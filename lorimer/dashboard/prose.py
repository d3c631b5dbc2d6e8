"""Words of ours, in which models' words may stand, as a part of a page."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup, escape


def prose(markdown: str) -> Markup:
    """Paragraphs, lists, tables, code and quotes, with headings a level below the page's own.

    HTML in it is text, and nothing in it becomes a link or a picture: what a model wrote leads nowhere.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["link", "image", "autolink", "reference", "html_inline", "html_block", "entity"])
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - the renderer escapes all text


def sentence(text: str) -> Markup:
    """A sentence in which what stands between backticks, as a command does, is shown as code. All else in it is text."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a model's backtick stands among ours
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(piece) if at % 2 else piece for at, piece in enumerate(pieces))
