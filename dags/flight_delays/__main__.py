"""``python -m flight_delays FOLDER``: deliver what is there when the project starts."""

from __future__ import annotations

import sys

from flight_delays.data import ensure_history

for path in ensure_history(sys.argv[1]):
    print(path)
