"""Themes: the colours of a drawing, replaced in its DOT text."""

from __future__ import annotations

import re

# From the colours of the light theme, which drawings are written in. Fills, borders, then text.
DARK = {
    "#DCEAF6": "#16324A", "#FBE7BF": "#4A3710", "#FFFFFF": "#1E242B", "#F3D9E6": "#4A1C33", "#F5F7F9": "#1A2027",
    "#EBEFF3": "#222A33", "#2F6DA3": "#7DB4E6", "#A86E08": "#E8B45A", "#6B7480": "#8A94A0", "#3D4550": "#C9D1DA",
    "#9B2D63": "#F08CBC", "#C5CCD4": "#3A444F", "#7A828C": "#9AA4AF", "#1B1F24": "#E8ECF0", "#59626D": "#AEB7C1",
    "#858D97": "#9AA4AF", "#1F5F93": "#8CC4F2", "white": "#14181D",
}  # fmt: skip
PRINT = {
    "#DCEAF6": "#FFFFFF", "#FBE7BF": "#FFFFFF", "#FFFFFF": "#FFFFFF", "#F3D9E6": "#FFFFFF", "#F5F7F9": "#FFFFFF",
    "#EBEFF3": "#FFFFFF", "#2F6DA3": "#000000", "#A86E08": "#000000", "#6B7480": "#000000", "#3D4550": "#000000",
    "#9B2D63": "#000000", "#C5CCD4": "#777777", "#7A828C": "#000000", "#1B1F24": "#000000", "#59626D": "#333333",
    "#858D97": "#555555", "#1F5F93": "#000000",
}  # fmt: skip
CONTRAST = PRINT | {
    "#DCEAF6": "#CFE8FF", "#FBE7BF": "#FFE08A", "#F3D9E6": "#FFC4E1", "#59626D": "#000000", "#858D97": "#000000",
    "#C5CCD4": "#000000", "#1F5F93": "#00308F", "#9B2D63": "#7A003C",
}  # fmt: skip
THEMES: dict[str, dict[str, str]] = {"light": {}, "dark": DARK, "print": PRINT, "contrast": CONTRAST}


def themed(dot: str, theme: str) -> str:
    """DOT text in the colours of a theme. Only attributes change: names in labels have no quotes, which are escaped."""
    colours = THEMES[theme]
    dot = dot.replace("bgcolor=white", f'bgcolor="{colours.get("white", "white")}"', 1)
    return re.sub('="(#[0-9A-F]{6})"', lambda m: f'="{colours.get(m[1], m[1])}"', dot)
