"""A report that a user waits for on a web page: how far it is comes by server-sent events, and the report when it is there."""

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from local import website

from penstock import Penstock, current_job
from penstock.work import Workers

app, web = Penstock(), FastAPI()
PARTS = ("orders", "customers", "stock", "returns")


@app.task(result_ttl=600)
def report(year: int) -> str:
    """Takes a while."""
    for number, part in enumerate(PARTS):
        current_job().progress(number, len(PARTS), part)
        time.sleep(0.6)
    return f"{year}: {', '.join(PARTS)}"


@web.post("/reports/{year}")
async def begin(year: int) -> dict[str, str]:
    """Send the job; its id is all that the page needs."""
    return {"id": (await report.delay_async(year)).id}


@web.get("/reports/{id}")
async def follow(id: str) -> StreamingResponse:
    """Events of the job until its end; whichever web process is asked, before or after it."""

    async def events() -> AsyncIterator[str]:
        job, seen = app.job(id), None
        ended = asyncio.ensure_future(job.result_async())
        while not ended.done():
            await asyncio.wait([ended], timeout=0.1)
            if (now := await asyncio.to_thread(job.progress)) and now != seen:
                seen = now
                yield f"event: progress\ndata: {json.dumps([now.fraction, now.note])}\n\n"
        yield f"event: report\ndata: {json.dumps(ended.result())}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def demo() -> str:
    """Does what the page's script would do."""
    with website(web) as url, Workers(f"{__name__}:app", 2, quiet=True):
        with urllib.request.urlopen(urllib.request.Request(f"{url}/reports/2026", method="POST")) as answer:
            id = json.load(answer)["id"]
        with urllib.request.urlopen(f"{url}/reports/{id}") as answer:
            events = answer.read().decode().split("\n\n")[:-1]
    return f"{len(events) - 1} times told how far it is, then {events[-1].partition('data: ')[2]}"
