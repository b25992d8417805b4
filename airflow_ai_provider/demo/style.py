"""The report's style sheet; it loads nothing and follows the reader's light or dark."""

from __future__ import annotations

STYLE = """
:root{--ink:#1d2330;--faint:#667085;--paper:#fff;--rule:#e4e7ec;--a:#2563eb;--b:#d97706;
--c:#059669;--d:#7c3aed;--bad:#c0362c;--good:#17803d;--calm:#05966922}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--faint:#98a2b3;--paper:#14171d;
--rule:#2b313c;--a:#7aa7ff;--b:#f0b04e;--c:#4ccf9d;--d:#b794ff;--bad:#ff8a80;--good:#6bd08c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:1060px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
svg{width:100%;height:auto;margin:.5rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--rule)}
th,small{color:var(--faint);font-weight:normal}summary{cursor:pointer}
code{font-size:12px;overflow-wrap:anywhere}details ul{margin:.3rem 0;padding-left:1.1rem}
tr.fail>td>b,li.fail>b{color:var(--bad)}tr.pass>td>b,li.pass>b{color:var(--good)}
tr.warn>td>b,li.warn>b{color:var(--b)}
svg text{font-size:11px;fill:var(--ink)}svg .tick{fill:var(--faint)}svg .inside{fill:var(--paper)}
svg .grid{stroke:var(--rule)}svg .band{fill:var(--calm)}
svg polyline{fill:none;stroke-width:1.5}svg .interval{stroke-width:2;opacity:.6}
svg .success{fill:var(--c)}svg .failed{fill:var(--bad)}svg .running,svg .queued{fill:var(--b)}
svg .production{fill:var(--a)}svg .elsewhere{fill:var(--faint)}svg .lease{fill:var(--d)}
svg circle.look0{fill:var(--a)}svg circle.look1{fill:var(--b)}
svg circle.look2{fill:var(--c)}svg circle.look3{fill:var(--d)}
svg polyline.look0,svg line.look0{stroke:var(--a)}svg polyline.look1,svg line.look1{stroke:var(--b)}
svg polyline.look2,svg line.look2{stroke:var(--c)}svg polyline.look3,svg line.look3{stroke:var(--d)}
svg polyline.predicted{stroke-dasharray:4 3}svg circle.predicted{fill-opacity:.4}
"""
