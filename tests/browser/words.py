"""What nobody should be able to say to a page."""

from __future__ import annotations

HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"
BACKWARDS = "\N{RIGHT-TO-LEFT OVERRIDE}\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED} </script>"
