"""Airflow's API server with our pages, for the browser tests.

``python -m tests.browser.server FILE`` writes its address and a token of each role to FILE, and
ends when its standard input closes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

ROLES = ("viewer", "user", "op", "admin")


def main() -> None:
    """Serve until nobody holds the other end of standard input."""
    told = Path(sys.argv[1])
    sys.argv = ["airflow", "api-server"]
    import uvicorn
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    app = create_app(apps="core")
    manager = app.state.auth_manager
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    tokens = {
        role: manager.generate_jwt(SimpleAuthManagerUser(username=role, role=role))
        for role in ROLES
    }
    document = {"url": f"http://127.0.0.1:{port}", "tokens": tokens}
    partial = told.with_suffix(".partial")
    partial.write_text(json.dumps(document))
    partial.rename(told)
    sys.stdin.read()


if __name__ == "__main__":
    main()
