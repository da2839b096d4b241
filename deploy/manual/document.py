"""A Markdown document, such as docs/config.md, as the lines of a manual page."""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode as Node

from deploy.manual.roff import bold, escaped, guarded, italic, verbatim

_MACROS: Final = {"h2": ".SH", "h3": ".SS", "h4": ".SS"}


def lines(markdown: str) -> list[str]:
    """All of the document but its title."""
    tree = Node(MarkdownIt("commonmark").enable("table").parse(markdown))
    return [line for node in tree.children if node.tag != "h1" for line in _block(node)]


def _block(node: Node) -> list[str]:
    match node.type:
        case "heading":
            return [f'{_MACROS[node.tag]} "{_plain(node)}"']
        case "paragraph":
            return [".PP", _inline(node)]
        case "fence" | "code_block":
            return verbatim(node.content)
        case "bullet_list" | "ordered_list":
            return [line for at, item in enumerate(node.children) for line in _item(item, at, node.type == "ordered_list")]
        case "table":
            return _table(node)
        case "blockquote":
            return [line for child in node.children for line in _block(child)]
    raise ValueError(f"no manual page has {node.type}, as in line {(node.map or (0, 0))[0] + 1}")


def _item(item: Node, at: int, numbered: bool) -> list[str]:
    first, *rest = item.children
    mark = f"{at + 1}." if numbered else "\\(bu"
    made = [f'.IP "{mark}" 4', _inline(first)]
    below = [line for child in rest for line in _block(child)]
    return [*made, *([".RS 4", *below, ".RE"] if below else [])]


def _table(node: Node) -> list[str]:
    """Each row is a paragraph with its first cell as a tag."""
    head, body = node.children
    titles = [_inline(cell) for cell in head.children[0].children]
    made = []
    for row in body.children:
        tag, *cells = row.children
        made += [".TP", _inline(tag) or "\\&"]
        if titles[0] == "Key":
            kind, default, unit, meaning = map(_inline, cells)
            made += [", ".join(filter(None, (kind, unit, f"default {default}" if default else ""))), ".br", meaning or "\\&"]
        else:
            said = [
                f"{title}: {_inline(cell)}" if len(cells) > 1 else _inline(cell)
                for title, cell in zip(titles[1:], cells, strict=True)
            ]
            made += [guarded("; ".join(filter(None, said))) or "\\&"]
    return made


def _plain(node: Node) -> str:
    return escaped("".join(each.content for each in node.walk() if each.type in ("text", "code_inline")))


def _inline(node: Node) -> str:
    return guarded(re.sub(r"\s+", " ", _spans(node)).strip())


def _spans(node: Node) -> str:
    match node.type:
        case "text":
            return _spaced(node.content)
        case "code_inline":
            return bold(node.content)
        case "softbreak" | "hardbreak":
            return " "
        case "em":
            return italic("".join(child.content for child in node.walk() if child.type == "text"))
        case "image" | "html_inline":
            raise ValueError(f"no manual page has {node.type}: {node.content}")
    inner = "".join(map(_spans, node.children))
    if node.type == "strong":
        return "\\fB" + inner.replace("\\fR", "\\fB") + "\\fR"
    target = str(node.attrs.get("href", "")) if node.type == "link" else ""
    return f"{inner} ({escaped(target)})" if target.startswith("http") and escaped(target) not in inner else inner


def _spaced(text: str) -> str:
    """`escaped` with the spaces at both ends."""
    return " " * text[:1].isspace() + escaped(text) + " " * (text[-1:].isspace() and text.strip() != "")
