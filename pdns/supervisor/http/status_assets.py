"""Style and script of the status page. Each has a path of its own, so the Content-Security-Policy forbids inline ones."""

from __future__ import annotations

from typing import Final

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'"
)

CSS: Final = """
:root{color-scheme:light dark;--page:#eef1f5;--card:#fff;--text:#17202b;--soft:#4a5563;--line:#d5dbe3;--accent:#0b5cad;
--area:#cfe2f6;--block:#a3271b;--block-area:#f6d6d2;--good:#1b6b3a;--good-back:#e1f3e8;--bad:#a3271b;--bad-back:#fde7e4;
--warn:#7a4a00;--warn-back:#fdf0d5}
@media (prefers-color-scheme:dark){:root{--page:#0e131a;--card:#171f29;--text:#e8edf3;--soft:#aeb9c7;--line:#2f3a48;
--accent:#7cc0ff;--area:#1b3a57;--block:#ffb0a6;--block-area:#552a26;--good:#8fdcab;--good-back:#14301f;--bad:#ffb0a6;
--bad-back:#3f1c19;--warn:#f3c56b;--warn-back:#38290d}}
*{box-sizing:border-box}
body{margin:0;padding:0 clamp(.75rem,1.5vw,2rem) 1rem;background:var(--page);color:var(--text);
font:.9375rem/1.45 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:1.35rem;margin:0;overflow-wrap:anywhere}
h1 span{font-weight:400}
h2{font-size:.95rem;margin:0}
p{margin:0}
a{color:var(--accent)}
.soft{color:var(--soft)}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.35rem 1rem;padding:.8rem 0}
#state{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1rem}
#connection{font-weight:600;color:var(--bad)}
#connection:not(:empty){background:var(--bad-back);padding:.15rem .7rem;border-radius:.4rem}
#pause{margin-left:auto;font:inherit;color:var(--accent);background:var(--card);border:1px solid var(--accent);
border-radius:.4rem;padding:.25rem .9rem;min-height:2rem;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.badge{font-weight:600;padding:.1rem .7rem;border-radius:1rem}
.badge.good{background:var(--good-back);color:var(--good)}
.badge.bad{background:var(--bad-back);color:var(--bad)}
.notes{list-style:none;margin:0 0 .8rem;padding:0;display:grid;gap:.35rem;overflow-wrap:anywhere}
.notes li{padding:.4rem .8rem;border-left:.3rem solid var(--warn);background:var(--warn-back);border-radius:.35rem}
.notes .bad{border-color:var(--bad);background:var(--bad-back)}
.numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.6rem;margin-bottom:.6rem}
.tile,.card,.chart{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem .9rem;min-width:0}
.tile .label{font-weight:500;color:var(--soft)}
.tile .value{font-size:1.5rem;line-height:1.25;font-weight:650;white-space:nowrap}
.tile.big .value{font-size:1.8rem}
.tile.block .value{color:var(--block)}
.tile.bad .value{color:var(--bad)}
.tile .soft{font-size:.85rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:.6rem;margin-bottom:.6rem}
.chart{margin:0}
.chart figcaption{display:flex;justify-content:space-between;font-size:.85rem;color:var(--soft);margin-bottom:.3rem}
.chart svg{display:block;width:100%;height:6.5rem}
.chart path{vector-effect:non-scaling-stroke}
.chart .grid{fill:none;stroke:var(--line);stroke-width:1}
.chart .line{fill:none;stroke:var(--accent);stroke-width:1.75;stroke-linejoin:round}
.chart .area{fill:var(--area);stroke:none}
.chart.block .line{stroke:var(--block)}
.chart.block .area{fill:var(--block-area)}
.lower,.columns,.columns>div{display:grid;gap:.6rem;align-items:start;align-content:start;min-width:0}
.card:has(.none){display:none}
.card h2{margin-bottom:.4rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.2rem .9rem .2rem 0;white-space:nowrap;border-top:1px solid var(--line);font-weight:400;
vertical-align:top}
th:last-child,td:last-child{padding-right:.25rem}
thead th{color:var(--soft);font-size:.82rem;border-top:0}
td.n,th.n{text-align:right}
.name{max-width:26rem;overflow:hidden;text-overflow:ellipsis}
td.good{color:var(--good)}
td.bad,li.bad{color:var(--bad);font-weight:600}
td.empty,td.none{border-top:0}
td.warn{color:var(--warn);font-weight:600}
.feeds td:nth-child(2){white-space:normal;min-width:8.5rem}
.empty{color:var(--soft)}
th.new{box-shadow:inset .25rem 0 var(--block)}
.recent th:first-child{padding-left:.5rem}
footer{color:var(--soft);font-size:.85rem;padding:.9rem 0 0;overflow-wrap:anywhere}
@media (max-width:45rem){.w{display:none}.numbers{grid-template-columns:1fr 1fr}
.tile:first-child,.tile:last-child{grid-column:1/-1}.tile .value{font-size:1.3rem}.tile.big .value{font-size:1.5rem}
th,td{padding-right:.5rem}.name{max-width:6.5rem}.feeds td:nth-child(2){min-width:5.5rem}
table.recent{table-layout:fixed}.recent th:first-child{width:4.9rem}.recent .name{max-width:none}
.recent thead th:nth-child(4){width:4.8rem}table{font-size:.875rem}.recent td{overflow:hidden;text-overflow:ellipsis}}
@media (min-width:60rem){.columns{grid-template-columns:2fr 3fr}.columns>div:nth-child(2){grid-row:1/span 2;grid-column:2}}
@media (min-width:75rem){.numbers{grid-template-columns:1.3fr 1fr 1.2fr repeat(5,1fr)}.chart svg{height:8rem}}
@media (min-width:100rem){html{font-size:104%}.x{display:none}.name{max-width:17rem}.chart svg{height:5.5rem}
th,td{padding-block:.15rem}.columns th,.columns td{padding-right:.6rem}.columns .name{max-width:11.5rem}
.feeds td:nth-child(2){min-width:6rem}
.lower{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}.columns{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
@media (prefers-contrast:more){.tile,.card,.chart{border-color:currentColor}}
@media print{#pause,#connection{display:none}}
"""

SCRIPT: Final = """"use strict";
(() => {
  const STALE_MS = 6000, DEAD_MS = 20000, AGAIN_MS = 5000;
  const line = document.getElementById("connection"), button = document.getElementById("pause");
  const version = document.documentElement.dataset.version;
  let source = null, again = 0, last = Date.now(), lost = "", paused = false;
  const kept = {};

  const say = (text) => { if (line.textContent !== text) line.textContent = text; };
  const busy = () => paused || String(getSelection()) !== "";

  function draw() {
    if (busy()) return;
    for (const [part, html] of Object.entries(kept)) {
      const at = document.getElementById(part);
      if (at && part === "title") document.title = new DOMParser().parseFromString(html, "text/html").body.textContent;
      else if (at) at.innerHTML = html;
      delete kept[part];
    }
  }

  function arrived(event) {
    const said = JSON.parse(event.data);
    if (said.version !== version) { location.reload(); return; }
    last = Date.now();
    lost = "";
    say(paused ? "paused" : "");
    Object.assign(kept, said.parts);
    draw();
  }

  function close() {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  }

  function open() {
    close();
    if (document.hidden) return;
    source = new EventSource("/status/events");
    source.onmessage = arrived;
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
    };
  }

  setInterval(() => {
    if (document.hidden) return;
    const silent = Date.now() - last;
    if (silent < STALE_MS) return;
    if (!lost) lost = new Date(last).toLocaleTimeString();
    say(`connection lost since ${lost}`);
    if (silent > DEAD_MS && source && source.readyState === EventSource.OPEN) open();
  }, 1000);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else { last = Date.now(); open(); }
  });
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Continue" : "Pause";
    if (!lost) say(paused ? "paused" : "");
    draw();
  });
  open();
})();
"""
