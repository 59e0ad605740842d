"""The jobs: fetch a page, keep what it says of itself in MongoDB, and its body in S3.

`SITE`, `BUCKET` (the endpoint of an S3) and `MONGODB_URL` say where; the queue is in `PENSTOCK_URL`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from penstock import Penstock

app = Penstock()

_TITLE = re.compile(rb"<title>(.*?)</title>")
_DESCRIPTION = re.compile(rb'<meta name="description" content="(.*?)">')
_MANY = 2_000
#: Connections to MongoDB; to make one costs as much as several pages.
_STORING = 24


@dataclass
class Meta:
    """What is kept of a page in MongoDB."""

    number: int
    title: str
    description: str
    links: int
    bytes: int
    digest: str


def read(number: int, body: bytes) -> Meta:
    """What a page says of itself."""
    title, description = _TITLE.search(body), _DESCRIPTION.search(body)
    assert title is not None, f"page {number} has no title"
    return Meta(
        number, title[1].decode(), description[1].decode() if description else "", body.count(b"<a href="), len(body),
        hashlib.sha256(body).hexdigest(),
    )  # fmt: skip


def address(number: int) -> str:
    """Of a page."""
    return f"{os.environ['SITE']}/{number}.html"


# The clients. Each is made at its first use, and serves all jobs of the process.


@cache
def http() -> Any:
    """Connections to the site, one for each job that runs."""
    import urllib3

    return urllib3.PoolManager(maxsize=_MANY, retries=False)


@cache
def collection() -> Any:
    """Of MongoDB."""
    import pymongo

    return pymongo.MongoClient(os.environ["MONGODB_URL"], maxPoolSize=_STORING).get_default_database().pages


@cache
def bucket() -> Any:
    """Of S3."""
    from obstore.store import S3Store

    return S3Store(
        "pages", endpoint=os.environ["BUCKET"], region="us-east-1", access_key_id="any", secret_access_key="any",
        virtual_hosted_style_request=False, client_options={"allow_http": True},
    )  # fmt: skip


@cache
def async_http(loop: asyncio.AbstractEventLoop) -> Any:
    """Connections of an event loop to the site."""
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())


@cache
def async_collection(loop: asyncio.AbstractEventLoop) -> Any:
    """Of MongoDB, for an event loop."""
    import pymongo

    return pymongo.AsyncMongoClient(os.environ["MONGODB_URL"], maxPoolSize=_STORING).get_default_database().pages


def aside(function: Callable[..., Any], *args: Any) -> Any:
    """Call what waits outside of Python, where gevent can't see it: there, in a thread, and other green threads go on."""
    if "gevent" not in sys.modules:
        return function(*args)
    import gevent

    return gevent.get_hub().threadpool.apply(function, args)


# The steps of one page.


def download(number: int) -> bytes:
    """Fetch a page; a status that is no success is worth another try."""
    answer = http().request("GET", address(number))
    if answer.status != 200:
        raise ConnectionError(f"page {number}: status {answer.status}")
    return answer.data


@app.task(retries=5)
def keep_meta(meta: Meta) -> None:
    """Into MongoDB. A page that comes again replaces itself."""
    fields = dict(vars(meta))
    collection().replace_one({"_id": fields.pop("number")}, fields, upsert=True)


@app.task(retries=5)
def keep_body(number: int, body: bytes) -> None:
    """Into S3, likewise."""
    import obstore

    aside(obstore.put, bucket(), f"{number}.html", body)


# The ways to go about it.


@app.task
def warm() -> None:
    """Load what a process needs, and take so long that each process gets one of these."""
    import_module("aiohttp")
    http(), collection(), bucket()
    time.sleep(0.5)


@app.task
def all_in_one(pages: int) -> None:
    """One big task: a page after the other, and from the beginning when it fails."""
    for number in range(pages):
        scrape(number)


@app.task(retries=5)
def scrape(number: int) -> None:
    """A task per page."""
    body = download(number)
    keep_meta(read(number, body))
    keep_body(number, body)


@app.task(retries=5)
def fetch(number: int) -> None:
    """A task per step: what is fetched here, two others keep."""
    body = download(number)
    # Both or neither, and one commit.
    app.client.enqueue([keep_meta.job((read(number, body),), {}), keep_body.job((number, body), {})])


@app.task(retries=5)
async def scrape_async(number: int) -> None:
    """A task per page, as a coroutine."""
    import obstore

    loop = asyncio.get_running_loop()
    async with async_http(loop).get(address(number)) as answer:
        answer.raise_for_status()
        body = await answer.read()
    fields = dict(vars(read(number, body)))
    await async_collection(loop).replace_one({"_id": fields.pop("number")}, fields, upsert=True)
    await obstore.put_async(bucket(), f"{number}.html", body)
