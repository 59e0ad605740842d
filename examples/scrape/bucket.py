"""A stand-in for S3, good enough for obstore: PUT, GET, HEAD and DELETE of objects, kept in memory. Run as `python bucket.py PORT`.

It is none of the servers that one installs, because those that come by name with pip or npm were the slowest part of the whole
example: moto took 350 objects of 6 KB in a second here and s3rver 650, this one some thousands. It checks no
signature, and forgets everything when it ends. `GET /` says how many objects it has, and how many bytes.
"""

from __future__ import annotations

import zlib

import web

_DATE = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
_objects: dict[str, bytes] = {}


def answer(method: str, path: str, body: bytes) -> web.Answer:
    """Keep or give an object; its path is its name, with the bucket's in front."""
    path = path.partition("?")[0]
    if method == "PUT":
        _objects[path] = body
        return web.Answer(headers=_tag(body))
    if path == "/":
        return web.Answer(body=f"{len(_objects)} {sum(map(len, _objects.values()))}".encode())
    found = _objects.get(path)
    if found is None:
        return web.Answer("404 Not Found")
    if method == "DELETE":
        del _objects[path]
        return web.Answer("204 No Content")
    return web.Answer(body=found, headers=_tag(found) + _DATE)


def _tag(body: bytes) -> str:
    return f'ETag: "{zlib.crc32(body):08x}"\r\n'


if __name__ == "__main__":
    web.serve(answer)
