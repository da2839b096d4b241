"""A QR code as lines of text."""

from __future__ import annotations

import segno

_QUIET = 4  # modules of light around it: ISO/IEC 18004
_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}  # upper and lower module, 1: dark


def qr_lines(text: str, *, blocks: bool = True) -> list[str]:
    """The code with light modules drawn, for a dark background. Without `blocks` it is ASCII, and each module two characters
    wide and a line high; with them, a character is two modules, one above the other.
    """
    rows = [list(row) for row in segno.make_qr(text, error="l").matrix_iter(border=_QUIET)]
    if not blocks:
        return ["".join("  " if dark else "##" for dark in row) for row in rows]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_HALVES[upper, lower] for upper, lower in zip(*pair, strict=True)) for pair in pairs]
