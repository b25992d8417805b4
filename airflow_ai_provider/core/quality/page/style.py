"""The page's style sheet: it loads nothing and follows the reader's light or dark."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--faint:#64748b;--paper:#f6f7f9;--card:#fff;
--rule:#e3e7ed;--met:#a9b8cc;--bad:#d9432f;--warn:#c07a06;--good:#1d8a4a;--missing:#dfe4ea;
--now:#2f6fdb;--allowed:#bfe3cd;--link:#2459b8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--faint:#93a1b5;--paper:#12161c;
--card:#1a2029;--rule:#2c3541;--met:#53647b;--bad:#ff7a68;--warn:#f0b04e;--good:#5fce8b;
--missing:#323c49;--now:#79a9ff;--allowed:#23533a;--link:#8fb5ff}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);
background:var(--paper);max-width:1000px;margin:0 auto;padding:1.6rem 1.2rem 4rem}
h1{font-size:1.35rem;line-height:1.3;margin:.1rem 0 .6rem;overflow-wrap:anywhere}
h2{font-size:1.02rem;margin:2.2rem 0 .7rem}h3{font-size:.95rem;margin:0;overflow-wrap:anywhere}
p{margin:.35rem 0}a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
.faint,th,dt,figcaption{color:var(--faint)}.kicker{font-size:.82rem;color:var(--faint);margin:0}
.card{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:1rem 1.15rem;
margin:0 0 .9rem}
.card.fail{border-left:4px solid var(--bad)}.card.warn{border-left:4px solid var(--warn)}
.badge{display:inline-block;border-radius:99px;padding:.05rem .65rem;font-size:.8rem;
font-weight:600;border:1px solid currentColor;white-space:nowrap}
.pass{color:var(--good)}.warn>.badge,.badge.warn,td.warn{color:var(--warn)}
.badge.fail,td.fail{color:var(--bad)}.badge.override{color:var(--now)}
td.pass{color:var(--good)}.head{display:flex;gap:.7rem;align-items:baseline;flex-wrap:wrap}
.head .badge{margin-left:auto}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:0}
dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:.87rem}
th,td{text-align:left;vertical-align:top;padding:.42rem .75rem;border-bottom:1px solid var(--rule)}
tr:last-child>td{border-bottom:0}th{font-weight:500;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.long{overflow-wrap:anywhere;min-width:12rem}td.code{min-width:7rem}
code{font:.86em ui-monospace,"SF Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
.samples{display:flex;flex-wrap:wrap;gap:.35rem;margin:.6rem 0 0;padding:0;list-style:none}
.samples code{background:var(--paper);border:1px solid var(--rule);border-radius:4px;
padding:.05rem .4rem;white-space:pre-wrap}
figure{margin:.8rem 0 0}svg{display:block;width:100%;height:auto;max-width:760px}
svg text{font-size:11px;fill:var(--faint)}svg text.name{fill:var(--ink)}
svg .grid{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--faint);stroke-width:1}
svg .limit{stroke:var(--ink);stroke-width:1.4;stroke-dasharray:5 3}
svg rect.met{fill:var(--met)}svg .failed{fill:var(--bad)}svg rect.missing{fill:var(--missing)}
svg rect.reference{fill:var(--met)}svg rect.now{fill:var(--now)}
svg rect.track{fill:var(--missing)}svg rect.allowed{fill:var(--allowed)}
svg rect.chip{fill:none;stroke:var(--rule)}svg rect.chip.failed{stroke:var(--bad)}
svg rect.chip.missing{stroke:var(--warn);stroke-dasharray:4 3}
svg.spark{width:150px;height:26px;display:inline-block;vertical-align:middle}
svg.spark polyline{fill:none;stroke:var(--faint);stroke-width:1.4}
svg.spark .pass{fill:var(--good)}svg.spark .warn{fill:var(--warn)}svg.spark .fail{fill:var(--bad)}
svg.spark .override{fill:var(--now)}
@media print{body{background:#fff;max-width:none}.card{break-inside:avoid}}
"""
