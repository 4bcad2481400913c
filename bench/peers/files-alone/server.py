"""What the disk can do at most: for each request the files of one story of eight images, written, synced and renamed as
story-images does it, by a thread of each connection. Nothing is received, and nothing is read."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

IMAGE = os.urandom(200_000)
RECORD = os.urandom(1_500)
SIDECAR = os.urandom(200)
folder = os.environ["DATA_DIR"]
temporary = os.path.join(folder, ".tmp")


def write(content: bytes) -> str:
    path = os.path.join(temporary, str(uuid4()))
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    os.write(file, content)
    os.fdatasync(file)
    os.close(file)
    return path


def sync(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def put(story: str, name: str, content: bytes) -> None:
    paths = write(content), write(SIDECAR)
    os.rename(paths[1], os.path.join(story, f".{name}.json"))
    os.rename(paths[0], os.path.join(story, name))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        story = os.path.join(folder, "stories", str(uuid4()))
        os.mkdir(story)
        sync(os.path.dirname(story))
        for number in range(1, 9):
            put(story, f"{number}.jpg", IMAGE)
        # Images that are stored side by side share it
        sync(story)
        put(story, "0.8.json", RECORD)
        sync(story)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


os.makedirs(temporary)
os.makedirs(os.path.join(folder, "stories"))
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
