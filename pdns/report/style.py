"""The style of reports in HTML, and the policy that lets a report load nothing and run nothing."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

CSS: Final = """
:root{color-scheme:light dark;--page:#fff;--text:#1a2129;--soft:#55606d;--line:#dde2e8;--accent:#0b5cad;--bar:#8fb4d9;
--wash:#f4f6f9;--mark:#a3261e}
@media screen and (prefers-color-scheme:dark){:root{--page:#12171d;--text:#e6ebf1;--soft:#a7b2bf;--line:#303a46;--accent:#7cc0ff;
--bar:#3f6f9e;--wash:#1a2129;--mark:#ffb4ab}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);
font:1rem/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
.wrap{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 3rem}
.what{color:var(--soft);margin:0 0 .35rem}
h1{font-size:2rem;line-height:1.15;letter-spacing:-.015em;margin:0;font-weight:650}
.when{font-size:1.15rem;margin:.35rem 0 0}
.jump{margin:.5rem 0 0}
.lead{font-size:1.15rem;line-height:1.5;margin:1.75rem 0 0;max-width:44rem}
.figures{display:grid;gap:1.5rem 2.5rem;grid-template-columns:1fr;
margin:2rem 0 0;padding:1.5rem 0;border-top:1px solid var(--line);
border-bottom:1px solid var(--line)}
.figures div{display:flex;flex-direction:column}
.figures dt{order:2;font-weight:600}
.figures .big{order:1;
font-size:2.6rem;line-height:1.1;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums;margin:0}
.figures .trend{order:3;color:var(--soft);font-size:.95rem;margin:0}
section{margin:2.75rem 0 0}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .35rem;font-weight:650;letter-spacing:-.005em}
p{margin:0 0 .7rem;max-width:44rem}
.note{color:var(--soft);font-size:.92rem}
.fold{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.95rem;font-variant-numeric:tabular-nums;margin:.6rem 0 0}
th,td{text-align:left;vertical-align:baseline;padding:.5rem 1.1rem .5rem 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-weight:500;font-size:.87rem;vertical-align:bottom;border-bottom-color:var(--soft)}
thead td{border-bottom-color:var(--soft)}
tbody th{font-weight:500}
.number{text-align:right;white-space:nowrap}
.time{white-space:nowrap}
.name{overflow-wrap:anywhere;min-width:8rem}
.sized{width:22%}
.bar{display:block;width:100%;height:.4rem;min-width:3rem}
.bar rect{fill:var(--bar)}
.chart{display:block;width:100%;height:auto;margin:.6rem 0 0}
.chart rect{fill:var(--bar)}
.chart .most{fill:var(--accent)}
.chart .grid{stroke:var(--line);fill:none}
.chart .axis{stroke:var(--soft);fill:none}
.chart text{font:500 12px system-ui,"Segoe UI",Roboto,Arial,sans-serif;font-variant-numeric:tabular-nums}
.chart .tick{fill:var(--soft)}
.chart .value{fill:var(--text);font-weight:650;font-size:13px}
.chart.wide{display:none}
summary{cursor:pointer;color:var(--accent);padding:.35rem 0;width:fit-content}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.next{background:var(--wash);border-left:.25rem solid var(--accent);padding:1.4rem 1.5rem}
.next ol{margin:.5rem 0 0;padding-left:1.3rem}
.next li{margin:0 0 .6rem;padding-left:.25rem;max-width:44rem}
.next li:last-child{margin:0}
a{color:var(--accent);text-underline-offset:.15em}
code{font:.9em ui-monospace,"Cascadia Mono",Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:.9rem;margin:3rem 0 0;border-top:1px solid var(--line);padding-top:1rem}
@media screen and (max-width:43.99rem){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr{display:block}
tbody tr{padding:.7rem 0;border-bottom:1px solid var(--line)}
tbody th,tbody td,tbody .number,tbody .time{border:0;padding:0;text-align:left;white-space:normal}
tbody th{display:block;font-weight:600;padding-bottom:.15rem}
tbody td{display:inline-block;padding-right:1.1rem}
td[data-title]::before{content:attr(data-title) ": ";color:var(--soft)}
tbody td:empty,tbody .sized{display:none}}
@media (min-width:44rem){.wrap{padding-top:3.5rem}h1{font-size:2.6rem}.figures{grid-template-columns:repeat(3,1fr)}
.chart.wide{display:block}.chart.narrow{display:none}}
@media (min-width:60rem){main{display:grid;grid-template-columns:1fr 1fr;column-gap:3.5rem}main>*{grid-column:1/-1;min-width:0}
main>.half{grid-column:auto}}
@page{size:A4;margin:16mm 16mm 20mm;
@bottom-right{content:counter(page) " / " counter(pages);font:8pt system-ui,sans-serif;color:#55606d}}
@media print{html{font-size:9.5pt}body{background:#fff;color:#1a2129}.wrap{max-width:none;padding:0}
h1{font-size:2.5rem}.figures{grid-template-columns:repeat(3,1fr);gap:1rem;margin-top:1.5rem;padding:1.2rem 0}
.figures .big{font-size:2.2rem}section{margin-top:2.2rem}h2{break-after:avoid}h2+p{break-after:avoid}
table{font-size:.88rem}th,td{padding:.35rem .8rem .35rem 0}.name{min-width:7rem}
p,tr,.chart,.figures,.next li,.half{break-inside:avoid}thead{display:table-header-group}
main{display:grid;grid-template-columns:1fr 1fr;column-gap:2rem}main>*{grid-column:1/-1;min-width:0}main>.half{grid-column:auto}
.chart.wide{display:block}.chart.narrow,details,.jump{display:none}
.next{break-inside:avoid;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.chart rect,.bar rect{print-color-adjust:exact;-webkit-print-color-adjust:exact}a{color:inherit;text-decoration:none}}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'none'; base-uri 'none'"
