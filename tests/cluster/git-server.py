#!/usr/bin/env python3
"""A git server for tests: git+http://ADDRESS:PORT/NAME.git, for reading and for pushing.

    git-server.py --folder REPOSITORIES [--listen 198.18.0.1] [--port 0] [--create NAME]… [--token-file FILE] [--ready-file FILE]

It runs on the machine, where a test pushes to it or to the bare repository itself; pods of the test cluster reach it at 198.18.0.1, the machine's
end of the link. --port 0 takes a free one. The first line on standard output, and all of --ready-file, is the address: http://198.18.0.1:40123

With --token-file every request must come with that password, whoever the user is. The file is read at each request, so a test can change the token.
Behind it is git's own `git http-backend`. It is for tests: it speaks no TLS, and knows no users.
"""
import argparse
import base64
import gzip
import hmac
import http.server
import os
import pathlib
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile

# What a repository may be called: nothing that climbs.
PATH = re.compile(r"^/[A-Za-z0-9_-][A-Za-z0-9._-]*\.git/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/[a-zA-Z0-9/._-]+)$")
LARGEST = 256 << 20


class Refused(Exception):
    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body of an answer are written apart; without this each answer waits for an acknowledgement.
    disable_nagle_algorithm = True

    def body(self) -> bytes:
        """The request's body, whole: git sends long ones in chunks, and packed."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts, total = [], 0
            while size := int(self.rfile.readline().split(b";")[0], 16):
                total += size
                if total > LARGEST:
                    raise Refused(413, "too long")
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            body = b"".join(parts)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST:
                raise Refused(413, "too long")
            body = self.rfile.read(length)
        return gzip.decompress(body) if self.headers.get("Content-Encoding") in ("gzip", "x-gzip") else body

    def check_token(self) -> None:
        if not self.server.token_file:
            return
        wanted = pathlib.Path(self.server.token_file).read_text().strip()
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(given).decode().partition(":")[2] if kind.lower() == "basic" else ""
        except ValueError:
            password = ""
        if not hmac.compare_digest(password.encode(), wanted.encode()):
            raise Refused(401, "wrong token")

    def answer(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            # Read even when it is refused: the connection goes on after it.
            body = self.body()
            self.check_token()
            if not PATH.match(path) or ".." in path:
                raise Refused(404, "no such repository")
            status, headers, output = self.backend(path, query, body)
        except Refused as refused:
            status, headers, output = refused.status, [("Content-Type", "text/plain")], f"{refused}\n".encode()
            if status == 401:
                headers.append(("WWW-Authenticate", 'Basic realm="git"'))
            if status == 413:
                self.close_connection = True
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(output)))
        self.end_headers()
        self.wfile.write(output)

    do_GET = do_POST = answer

    def backend(self, path: str, query: str, body: bytes):
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            # The folder may belong to somebody else than to the user that we run as.
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "http.receivepack",
            "GIT_CONFIG_VALUE_1": "true",
            "GIT_PROJECT_ROOT": self.server.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_USER": "test",
        }
        ended = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, timeout=120)
        head, _, output = ended.stdout.partition(b"\r\n\r\n")
        if ended.returncode != 0 or not head:
            return 500, [("Content-Type", "text/plain")], ended.stderr
        status, headers = 200, []
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        return status, headers, output

    def log_message(self, form, *arguments):
        sys.stderr.write(f"git-server: {self.client_address[0]} {form % arguments}\n")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def create(folder: str, name: str) -> None:
    """A bare repository with the branch main, unless it is there."""
    path = os.path.join(folder, name if name.endswith(".git") else name + ".git")
    if not os.path.isdir(path):
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], check=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", required=True, help="where the bare repositories are")
    options.add_argument("--listen", default="198.18.0.1", metavar="IP")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--create", action="append", default=[], metavar="NAME", help="makes this repository, if it is not there")
    options.add_argument("--token-file", metavar="FILE")
    options.add_argument("--ready-file", metavar="FILE", help="gets the address once the server answers")
    given = options.parse_args()
    if not shutil.which("git"):
        sys.exit("git-server: error: git is missing: install it")
    os.makedirs(given.folder, exist_ok=True)
    for name in given.create:
        create(given.folder, name)
    try:
        server = Server((given.listen, given.port), Handler)
    except OSError as error:
        sys.exit(f"git-server: error: cannot listen on {given.listen}:{given.port}: {error.strerror}; is the cluster up (tests/cluster/cluster up)?")
    server.folder = os.path.realpath(given.folder)
    server.token_file = given.token_file
    address = f"http://{given.listen}:{server.server_address[1]}"
    if given.ready_file:
        # Whole or not at all: somebody waits for it.
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(os.path.abspath(given.ready_file)), delete=False) as file:
            file.write(address + "\n")
        os.replace(file.name, given.ready_file)
    print(address, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
