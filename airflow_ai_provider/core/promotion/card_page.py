"""The model card as HTML: one file that loads nothing, every word of the evidence escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from airflow_ai_provider.core.promotion.card import (
    Block,
    CardPage,
    Pairs,
    Pictures,
    Section,
    Table,
    Words,
)
from airflow_ai_provider.core.promotion.card_text import NOT_STATED
from airflow_ai_provider.core.quality.page.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MORE = """
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:.9rem}
.pictures figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:8px;
padding:.6rem}.pictures figure.broad{grid-column:1/-1}
.pictures svg{width:auto;max-width:100%;margin:0 auto}
figcaption{font-size:.82rem;padding:.3rem .4rem 0}
"""
_BROAD = ("weights", "gradients")


def card_html(page: CardPage, pictures: Mapping[str, str]) -> str:
    """Return the card as a page; ``pictures`` are SVG documents by name."""
    badge = f'<span class="badge {escape(page.verdict)}">{escape(page.verdict)}</span>'
    body = [
        '<p class="kicker">Model card</p>',
        f'<div class="head"><h1>{escape(page.title)}</h1>{badge}</div>',
        *(_section(section, pictures) for section in page.sections),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f"<title>{escape(page.title)}</title><style>{STYLE}{_MORE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _section(section: Section, pictures: Mapping[str, str]) -> str:
    inner = _block(section.block, pictures) if section.block is not None else _nothing()
    return f"<section><h2>{escape(section.title)}</h2>{inner}</section>"


def _nothing() -> str:
    return f'<p class="faint">{NOT_STATED}</p>'


def _block(block: Block, pictures: Mapping[str, str]) -> str:
    if isinstance(block, Pairs):
        listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in block.pairs)
        return f'<div class="card"><dl>{listed}</dl></div>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Pictures):
        return f'<div class="pictures">{"".join(_figures(block, pictures))}</div>'
    return f'<div class="card">{"".join(_paragraphs(block))}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = []
    for place, row in enumerate(table.rows):
        verdict = table.verdicts[place] if table.verdicts else ""
        cells = "".join(
            f'<td class="{escape(verdict)}">{escape(cell)}</td>'
            if verdict and cell == verdict
            else f"<td>{escape(cell)}</td>"
            for cell in row
        )
        rows.append(f"<tr>{cells}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _figures(block: Pictures, pictures: Mapping[str, str]) -> Iterator[str]:
    for name, words in block.shown:
        broad = ' class="broad"' if name in _BROAD else ""
        caption = f"<figcaption>{escape(words)}</figcaption>"
        yield f"<figure{broad}>{pictures[name]}{caption}</figure>"


def _paragraphs(block: Words) -> Iterator[str]:
    listed: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("- "):
            listed.append(f"<li>{escape(line[2:])}</li>")
            continue
        if listed:
            yield f"<ul>{''.join(listed)}</ul>"
            listed = []
        if line.strip():
            yield f"<p>{escape(line)}</p>"
    if listed:
        yield f"<ul>{''.join(listed)}</ul>"
