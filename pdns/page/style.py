"""The style of the block page, and the hash by which the Content-Security-Policy allows it."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

CSS: Final = """
:root{color-scheme:light dark;--page:#eef1f5;--card:#fff;--text:#17202b;--soft:#4a5563;--line:#d5dbe3;
--field:#6b7684;--accent:#0b5cad;--on-accent:#fff;--mark:#b3261e;--mark-back:#fdecea;--note:#eaf2fb;--ok:#1b6b3a;--ok-back:#e7f5ec}
@media (prefers-color-scheme:dark){:root{--page:#10151c;--card:#19212b;--text:#e8edf3;--soft:#aeb9c7;--line:#344050;
--field:#8492a3;--accent:#7cc0ff;--on-accent:#08131f;--mark:#ffb4ab;--mark-back:#3a1a18;--note:#172a3d;--ok:#8fdcab;--ok-back:#14301f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:1.0625rem/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
.wrap{max-width:66rem;margin:0 auto;padding:0 1.25rem 2.5rem}
header{display:flex;align-items:center;gap:.6rem;padding:1.25rem 0;font-weight:600}
header svg{width:1.75rem;height:1.75rem;flex:none;color:var(--accent)}
.grid{display:grid;gap:1.25rem;align-items:start}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.5rem}
.main{border-top:.3rem solid var(--accent)}
.urgent .main{border-top-color:var(--mark)}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .9rem;letter-spacing:-.01em}
h2{font-size:1.15rem;line-height:1.3;margin:1.75rem 0 .5rem}
.card>h2:first-child{margin-top:0}
.card>:last-child{margin-bottom:0}
p{margin:0 0 .8rem}
.site{font-size:1.15rem;font-weight:600;padding:.65rem .9rem;background:var(--note);border-radius:.5rem;margin:0 0 1rem}
.soft{color:var(--soft)}
ol,ul{margin:0;padding-left:1.35rem}
li{margin:0 0 .5rem}
.alarm{background:var(--mark-back);color:var(--text);border-left:.3rem solid var(--mark);border-radius:.35rem;padding:.8rem 1rem;
margin:0 0 1rem}
.done{background:var(--ok-back);border-left:.3rem solid var(--ok);border-radius:.35rem;padding:.8rem 1rem;margin:0 0 1rem}
.alarm p:last-child,.done p:last-child{margin:0}
a{color:var(--accent);text-underline-offset:.15em}
.contact{list-style:none;padding:0;margin:0 0 1rem}
.contact a{display:inline-block;padding:.3rem 0;font-weight:600}
.case{font:600 1.35rem/1.3 ui-monospace,"Cascadia Mono",Consolas,"DejaVu Sans Mono",monospace;letter-spacing:.04em;
margin:0 0 .3rem}
dl{margin:0}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0 0 .7rem}
dd:last-child{margin:0}
summary{display:inline-block;cursor:pointer;font-weight:600;color:var(--accent);border:1px solid;
border-radius:.4rem;padding:.5rem 1.1rem}
form{margin-top:1.25rem}
label{display:block;font-weight:600;margin:0 0 .2rem}
.hint{color:var(--soft);font-size:.9rem;margin:0 0 .35rem}
.wrong{color:var(--mark);font-weight:600;margin:0 0 .35rem}
input,textarea{width:100%;font:inherit;color:inherit;background:var(--card);border:1px solid var(--field);border-radius:.4rem;
padding:.55rem .7rem;margin:0 0 1rem}
textarea{min-height:6.5rem;resize:vertical}
button{font:inherit;font-weight:600;color:var(--on-accent);background:var(--accent);border:1px solid transparent;
border-radius:.4rem;padding:.6rem 1.3rem;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
footer{color:var(--soft);font-size:.9rem;padding:1.25rem .25rem 0}
@media (min-width:56rem){h1{font-size:2.1rem}.card{padding:2rem}.card.help,.card.details{padding:1.5rem}
.two{grid-template-columns:minmax(0,1fr) 20rem;grid-template-rows:auto auto 1fr}.two .main{grid-row:1/span 2}
.help,.details{grid-column:2}.help{grid-row:1}.details{grid-row:2/span 2}.report{grid-column:1;grid-row:3}}
@media (prefers-contrast:more){.card,.site{border:1px solid}}
@media print{body{background:#fff;color:#000}form,summary{display:none}}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
