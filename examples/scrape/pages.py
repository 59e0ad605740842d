"""The site that is scraped: /0.html to /2099.html, each after 100 ms. Run as `python pages.py PORT`."""

from __future__ import annotations

import random
from functools import lru_cache

import web

PAGES = 2_100
DELAY = 0.1
_SEED = 7
_WORDS = "ore mill gate sluice wheel race dam head flow crest weir pond lock shaft flume leat grain stone".split()


@lru_cache(maxsize=PAGES)
def page(number: int) -> bytes:
    """A page; the same number gives the same page. Together they have 13 MB."""
    chance = random.Random(_SEED * 1_000_003 + number)
    links = "".join(f'<a href="/{chance.randrange(PAGES)}.html">{chance.choice(_WORDS)}</a>\n' for _ in range(12))
    paragraphs = "".join(
        f"<p>{' '.join(chance.choice(_WORDS) for _ in range(chance.randrange(60, 120)))}</p>\n" for _ in range(12)
    )
    title = f"{chance.choice(_WORDS)} and {chance.choice(_WORDS)}, {number}"
    return (
        f"<!doctype html>\n<html><head><title>{title}</title>"
        f'<meta name="description" content="What page {number} is about"></head>\n'
        f"<body><h1>{title}</h1>\n{links}{paragraphs}</body></html>\n"
    ).encode()


def answer(method: str, path: str, body: bytes) -> web.Answer:
    """The page of a path."""
    name, _, ending = path.removeprefix("/").partition(".")
    if ending != "html" or not name.isdecimal() or int(name) >= PAGES:
        return web.Answer("404 Not Found")
    return web.Answer(body=page(int(name)), headers="Content-Type: text/html; charset=utf-8\r\n", delay=DELAY)


if __name__ == "__main__":
    for number in range(PAGES):
        page(number)  # what the pages say is no part of what is measured
    web.serve(answer)
