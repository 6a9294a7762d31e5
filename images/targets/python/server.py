"""The workload of the Python target: answers HTTP on 127.0.0.1:8080 and notes its start on the volume."""

import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok\n")


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Path("/data/started").write_text(f"{time.time():.0f}\n")
    HTTPServer(("127.0.0.1", 8080), _Handler).serve_forever()


main()
