"""YAML text as plain values, each with the line where it stands.

Reads with PyYAML's safe resolver, and no further than a project file needs: no tags of one's own,
no merge keys, and aliases only as far as the expanded document stays small, so that a file cannot
grow in memory beyond what can be seen in an editor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 40

Steps = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file: where, what, and what to do about it."""

    line: int
    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.field or 'file'}: {self.message} {self.remedy}"


class Unreadable(Exception):  # noqa: N818 - carries a problem, is never raised to a caller
    """Reading stopped at ``problem``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file and their lines, counted from 1."""

    value: Any
    lines: dict[Steps, int]

    def line(self, path: Steps) -> int:
        """Return the line of ``path``, or of the nearest thing that contains it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def dotted(path: Steps) -> str:
    """Return ``path`` as people write it: ``kpis[1].target``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".")


def read(text: str) -> Document:
    """Return the one document in ``text``.

    :raises Unreadable: it is no YAML, not one mapping, too large, or uses what is not read here.
    """
    if len(text) > MAX_CHARACTERS:
        raise _unreadable(
            1,
            "",
            f"The file has {len(text):,} characters; {MAX_CHARACTERS:,} are read.",
            "Keep the plan here and data elsewhere.",
        )
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise _unreadable(
            mark.line + 1 if mark else 1, "", f"This is no valid YAML: {reason}.", "Correct it."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(1, "", f"This is no valid YAML: {error}.", "Correct it.") from error
    if not isinstance(node, yaml.MappingNode):
        raise _unreadable(1, "", "The file holds no fields.", "Start with `name: my_project`.")
    builder = _Builder()
    return Document(value=builder.build(node, (), ()), lines=builder.lines)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which gives up on deep nesting before Python does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            raise _unreadable(line, "", "This is nested too deeply.", "Flatten it.")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    def __init__(self) -> None:
        self.lines: dict[Steps, int] = {}
        self._count = 0
        self._scalars = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Steps, inside: tuple[int, ...]) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_VALUES:
            raise _unreadable(
                line,
                dotted(path),
                f"The file holds more than {MAX_VALUES:,} values once its aliases are expanded.",
                "Use fewer aliases.",
            )
        if id(node) in inside or len(inside) >= MAX_DEPTH:
            raise _unreadable(
                line, dotted(path), "This is nested in itself.", "Write it without the alias."
            )
        self.lines.setdefault(path, line)
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, inside)
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self.build(child, (*path, i), inside) for i, child in enumerate(node.value)
            )
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Steps, inside: tuple[int, ...]) -> Any:
        values: dict[str, Any] = {}
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key, str) or key_node.tag == "tag:yaml.org,2002:merge":
                raise _unreadable(
                    line, dotted(path), "A field's name is one plain word.", "Write `name: value`."
                )
            if key in values:
                raise _unreadable(
                    line, dotted((*path, key)), "This field stands here twice.", "Remove one."
                )
            self.lines.setdefault((*path, key), line)
            values[key] = self.build(child, (*path, key), inside)
        return values

    def _scalar(self, node: yaml.Node, path: Steps) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise _unreadable(
                node.start_mark.line + 1,
                dotted(path),
                f"The value {str(node.value)[:40]!r} cannot be read.",
                "Put it between quotes.",
            ) from error


def _unreadable(line: int, field: str, message: str, remedy: str) -> Unreadable:
    return Unreadable(Problem(line=line, field=field, message=message, remedy=remedy))
