"""The model card as Markdown, in which nothing of the evidence is markup."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_ai_provider.core.promotion.card import (
    CardPage,
    Pairs,
    Pictures,
    Section,
    Table,
)

NOT_STATED = "Not stated."


def card_markdown(page: CardPage) -> str:
    """Return the card; each picture is shown from ``NAME.svg`` beside it."""
    parts = [f"# {_line(page.title)}"]
    parts += [f"## {section.title}\n\n{_block(section)}" for section in page.sections]
    return "\n\n".join(parts) + "\n"


def _block(section: Section) -> str:
    block = section.block
    if block is None:
        return NOT_STATED
    if isinstance(block, Pairs):
        return "\n".join(f"- {_line(name)}: {_line(value)}" for name, value in block.pairs)
    if isinstance(block, Table):
        return "\n".join(_rows(block))
    if isinstance(block, Pictures):
        return "\n".join(f"![{_line(words)}]({name}.svg)" for name, words in block.shown)
    return block.text


def _rows(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(map(_line, table.columns))} |"
    yield "|---" * len(table.columns) + "|"
    for row in table.rows:
        yield f"| {' | '.join(map(_line, row))} |"


def _line(text: str) -> str:
    for mark in "\\|<>[]`*":
        text = text.replace(mark, "\\" + mark)
    return text
