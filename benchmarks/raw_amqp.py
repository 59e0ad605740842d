"""The raw loops of RabbitMQ: one quorum queue and pika, and nothing of Penstock around it.

`python -m benchmarks.raw_amqp URL fill COUNT` publishes them with confirms; `... drain HOLDER` has 500 delivered ahead, and acknowledges 250 at once. It
says `ready`, waits for a line, and prints its first and last moment and how many jobs it ended.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
import pika

_AHEAD, _AT_ONCE = 500, 250
_QUEUE = "raw"
#: Seconds without a message after which the queue is empty.
_EMPTY = 0.5


def fill(url: str, count: int) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_delete(_QUEUE)
    channel.queue_declare(_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    unconfirmed: set[int] = set()

    def confirm(frame: Any) -> None:
        tag = frame.method.delivery_tag
        unconfirmed.difference_update([each for each in unconfirmed if each <= tag] if frame.method.multiple else [tag])

    # The blocking channel waits for the confirm of each message; what is below it does not.
    below: Any = channel._impl
    below.confirm_delivery(confirm, lambda _: None)
    connection.process_data_events(0.1)
    properties = pika.BasicProperties(delivery_mode=2)
    for start in range(0, count, 1000):
        numbers = range(start, min(count, start + 1000))
        unconfirmed.update(number + 1 for number in numbers)
        for number in numbers:
            below.basic_publish("", _QUEUE, msgspec.msgpack.encode(("noop", (number,))), properties, mandatory=True)
        while unconfirmed:
            connection.process_data_events(0.005)
    connection.close()


def drain(url: str, holder: int) -> None:
    del holder
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=_AHEAD)
    decode = msgspec.msgpack.Decoder(tuple[str, tuple[int]]).decode
    ended, last, acked = 0, 0, 0

    def take(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        nonlocal ended, last
        decode(body)
        ended, last = ended + 1, method.delivery_tag
        if last - acked >= _AT_ONCE:
            acknowledge()

    def acknowledge() -> None:
        nonlocal acked
        if last > acked:
            acked = last
            channel.basic_ack(last, multiple=True)

    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    channel.basic_consume(_QUEUE, take)
    seen, moment = -1, began
    while seen != ended:
        seen, moment = ended, time.monotonic()
        while seen == ended and time.monotonic() - moment < _EMPTY:
            connection.process_data_events(_EMPTY / 5)
            acknowledge()
    connection.process_data_events(0)
    connection.close()
    print(began, moment, ended, flush=True)


if __name__ == "__main__":
    {"fill": fill, "drain": drain}[sys.argv[2]](sys.argv[1], int(sys.argv[3]))
