"""The page as HTML: one file, nothing fetched, every word of the data escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from airflow_ai_provider.core.quality.page.draw import draw
from airflow_ai_provider.core.quality.page.history import Decision, data_set_of, grouped, spark
from airflow_ai_provider.core.quality.page.style import STYLE
from airflow_ai_provider.core.quality.page.values import Finding, ReportPage

_OVERVIEW = ("Data set", "Verdict", "Newest", "Gate", "#Met", "Over time", "#Decided (UTC)")
_PICTURES = 60  # on one page
# nothing of a page is fetched, run or framed by anybody but Airflow's own pages
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'"
)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """When, by what and under which record it was decided; ``home`` is where the list is."""

    record: str
    at: str
    by: str
    home: str = ".."


def report_html(
    page: ReportPage, *, decided: Decided | None = None, earlier: Sequence[Decision] = ()
) -> str:
    """Return the page about one decision; ``earlier`` ones of its data set, the newest first."""
    body = [*_head(page, decided), *_facts(page)]
    if page.failed:
        body.append("<h2>What was not met</h2>")
        body += [_card(f, picture=n < _PICTURES) for n, f in enumerate(page.failed)]
    body += _table(page)
    if decided and earlier:
        body.append("<h2>Earlier decisions on this data set</h2>")
        body.append(f"<p>{spark(earlier)}</p>")
        body.append(_decisions(earlier, decided.home))
    return document(f"{page.subject}: {page.verdict}", body)


def overview_html(decisions: Sequence[Decision], *, home: str = ".") -> str:
    """Return the list of data sets with their newest decision, of ``decisions`` newest first."""
    body = ['<p class="kicker">AI projects</p><h1>Data gates</h1>']
    if not decisions:
        body.append('<p class="faint">No data gate has decided anything yet.</p>')
        return document("Data gates", body)
    rows = []
    for name, found in grouped(decisions).items():
        newest = found[0]
        link = f"{home}/dataset?name={quote(name, safe='')}"
        rows.append(
            f'<tr><td class="long"><a href="{escape(link)}">{escape(name)}</a></td>'
            f"{_verdict(newest.verdict)}{_linked(newest, home)}<td>{escape(newest.kind)}</td>"
            f'<td class="n">{newest.met} of {newest.count}</td><td>{spark(found)}</td>'
            f'<td class="n">{_when(newest.at)}</td></tr>'
        )
    head = _header(*_OVERVIEW)
    body.append(f'<div class="wide"><table>{head}{"".join(rows)}</table></div>')
    return document("Data gates", body)


def history_html(name: str, decisions: Sequence[Decision], *, home: str = ".") -> str:
    """Return the decisions on the data set ``name``, the newest first."""
    body = [
        f'<p class="kicker"><a href="{escape(home)}/list">Data gates</a></p>'
        f"<h1>{escape(name)}</h1><p>{spark(decisions)}</p>"
    ]
    if decisions:
        body.append(_decisions(decisions, home))
    else:
        body.append('<p class="faint">The ledger has no decision on this data set.</p>')
    return document(name, body)


def waiting_html(task: str, *, refresh: int) -> str:
    """Return the page of a gate that has not decided yet; it loads itself anew."""
    body = [
        f'<p class="kicker">Data gate</p><h1>{escape(task)}</h1>'
        '<p class="faint">This task has recorded no decision yet. The page loads itself anew.</p>'
    ]
    return document("Not decided yet", body, refresh=refresh)


def document(
    title: str, body: Sequence[str], *, refresh: int | None = None, style: str = ""
) -> str:
    """Return ``body`` as a whole page; ``style`` adds to its style sheet."""
    anew = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{anew}'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_meta_policy()}">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _meta_policy() -> str:
    """Return the policy that a file carries itself: framing can only be forbidden by a server."""
    kept = (part for part in POLICY.split("; ") if not part.startswith("frame-ancestors"))
    return escape("; ".join(kept))


def _head(page: ReportPage, decided: Decided | None) -> Iterator[str]:
    where = escape(page.title)
    if decided:
        name = data_set_of(page.subject)
        link = f"{decided.home}/dataset?name={quote(name, safe='')}"
        home = f'<a href="{escape(decided.home)}/list">Data gates</a>'
        where = f'{home} / <a href="{escape(link)}">{escape(name)}</a>'
    yield f'<p class="kicker">{where}</p>'
    yield f'<div class="head"><h1>{escape(page.subject)}</h1>{_badge(page.verdict)}</div>'
    count = len(page.findings)
    said = f"{count - len(page.failed)} of {count} met." if count else "Nothing was expected."
    if decided:
        said += f" Decided {_when(decided.at)} UTC by {escape(decided.by)}."
    yield f"<p>{said}</p>"
    for note in page.notes:
        yield f'<p class="faint">{escape(note)}</p>'


def _facts(page: ReportPage) -> Iterator[str]:
    if page.facts:
        listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in page.facts)
        yield f'<h2>Data seen</h2><div class="card"><dl>{listed}</dl></div>'


def _card(finding: Finding, *, picture: bool) -> str:
    about = f"<code>{escape(finding.about)}</code>" if finding.about else ""
    parts = [
        f'<div class="head"><h3>{escape(finding.label)}</h3>{about}'
        f"{_badge(finding.verdict, finding.severity)}</div>",
        f"<p>{escape(finding.sentence)}</p>",
    ]
    if finding.expected:
        parts.append(f'<p class="faint">Expected: <code>{escape(finding.expected)}</code></p>')
    if picture and finding.picture is not None:
        words = f"{finding.label} {finding.about}: {finding.sentence}"
        parts.append(f"<figure>{draw(finding.picture, words)}</figure>")
    if finding.samples:
        listed = "".join(f"<li><code>{escape(value)}</code></li>" for value in finding.samples)
        parts.append(f'<ul class="samples">{listed}</ul>')
    return f'<section class="card {escape(finding.verdict)}">{"".join(parts)}</section>'


def _table(page: ReportPage) -> Iterator[str]:
    if not page.findings:
        return
    yield "<h2>Everything that was looked at</h2>"
    drawn = [c for c in _COLUMNS if any(c.of(finding) for finding in page.findings)]
    rows = "".join(
        f"<tr>{_verdict(f.verdict)}{''.join(_cell(c, f) for c in drawn)}</tr>"
        for f in page.findings
    )
    names = (f"#{c.name}" if c.look == "n" else c.name for c in drawn)
    yield f'<div class="wide"><table>{_header("", *names)}{rows}</table></div>'


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of the table of findings, left out where no finding has anything for it."""

    name: str
    of: Callable[[Finding], str]
    look: str = ""


_COLUMNS = (
    _Column(name="Severity", of=lambda f: f.severity),
    _Column(name="What", of=lambda f: f.label, look="long"),
    _Column(name="About", of=lambda f: f.about, look="code"),
    _Column(name="Unexpected", of=lambda f: f"{f.unexpected:,}" if f.unexpected else "", look="n"),
    _Column(name="Percent", of=lambda f: f"{f.percent:.3f}" if f.percent else "", look="n"),
    _Column(name="Seen", of=lambda f: f.sentence, look="long"),
    _Column(name="Engine", of=lambda f: f.engine),
)


def _cell(column: _Column, finding: Finding) -> str:
    words = escape(column.of(finding))
    if column.look == "code":
        return f'<td class="code"><code>{words}</code></td>'
    return f'<td class="{column.look}">{words}</td>' if column.look else f"<td>{words}</td>"


def _decisions(decisions: Sequence[Decision], home: str) -> str:
    rows = "".join(
        f"<tr>{_verdict(d.verdict)}<td>{escape(d.kind)}</td>{_linked(d, home)}"
        f'<td class="n">{d.met} of {d.count}</td>'
        f'<td class="n">{"" if d.rows is None else f"{d.rows:,}"}</td>'
        f'<td>{escape(d.task)}</td><td class="n">{_when(d.at)}</td></tr>'
        for d in decisions
    )
    head = _header("Verdict", "Gate", "Of", "#Met", "#Rows", "Task", "#Decided (UTC)")
    return f'<div class="wide"><table>{head}{rows}</table></div>'


def _linked(decision: Decision, home: str) -> str:
    link = f"{home}/record/{quote(decision.record, safe='')}"
    return f'<td class="long"><a href="{escape(link)}">{escape(decision.part)}</a></td>'


def _header(*names: str) -> str:
    cells = (
        f'<th class="n">{escape(n[1:])}</th>' if n.startswith("#") else f"<th>{escape(n)}</th>"
        for n in names
    )
    return f"<tr>{''.join(cells)}</tr>"


def _verdict(verdict: str) -> str:
    return f'<td class="{escape(verdict)}">{escape(_WORDS.get(verdict, verdict))}</td>'


def _badge(verdict: str, severity: str = "") -> str:
    words = severity or _WORDS.get(verdict, verdict)
    return f'<span class="badge {escape(verdict)}">{escape(words)}</span>'


_WORDS = {"pass": "passed", "warn": "warned", "fail": "failed", "override": "overridden"}


def _when(moment: str) -> str:
    return escape(moment[:19].replace("T", " "))
