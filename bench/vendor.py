"""A vendor that only says yes: nginx answering 204 to every request, and the Optimizely datafile as a static file."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONF = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  client_max_body_size 16m;
  client_body_buffer_size 4m;
  server {{
    listen 127.0.0.1:{port};
    location /datafile.json {{ root {folder}; }}
    location / {{ return 204; }}
  }}
}}
"""

DATAFILE = {
    "accountId": "12345678",
    "projectId": "98765432",
    "revision": "137",
    "version": "4",
    "events": [{"id": "5001", "key": "purchase", "experimentIds": []}],
    "attributes": [],
    "groups": [],
    "experiments": [],
    "audiences": [],
}


@contextmanager
def yes(folder: Path) -> Iterator[str]:
    """Run the vendor while the block runs; its address. Raises SystemExit when nginx is not installed."""
    nginx = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
    if nginx is None:
        raise SystemExit("bench: nginx is needed as the other end (Debian: apt-get install nginx-light).")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.chmod(0o755)  # nginx drops its rights when started as root
    (folder / "datafile.json").write_text(json.dumps(DATAFILE))
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, port=port))
    process = subprocess.Popen([nginx, "-c", str(conf), "-g", "daemon off;"], stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("bench: nginx did not start")
