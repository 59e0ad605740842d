"""What can go wrong with RabbitMQ, said in one line with what to do about it."""

from __future__ import annotations

import re

from penstock.errors import StoreError, StoreFull, StoreUnavailable

#: What the server or the client says, and what that is and what to do about it. In the order of asking.
_MEANINGS: list[tuple[str, type[StoreError], str]] = [
    (r"ACCESS_REFUSED.*(Login|login)|ProbableAuthentication|AuthenticationError|\(403\).*Login", StoreError, "the server does not accept this user and password: check both (guest may come from the server's own machine only)"),
    (r"NOT_ALLOWED.*vhost|vhost.*not found|ProbableAccessDenied|access to vhost", StoreError, "there is no such vhost, or this user may not enter it: rabbitmqctl add_vhost, set_permissions"),
    (r"ACCESS_REFUSED|\(403", StoreError, "this user may not do all that a queue needs: rabbitmqctl set_permissions -p VHOST USER 'NAMESPACE\\..*' 'NAMESPACE\\..*|amq\\.default' 'NAMESPACE\\..*'"),
    (r"PRECONDITION_FAILED.*(inequivalent|invalid arg|args)", StoreError, "a queue or exchange of that name was declared in another way: delete it once it is empty, or name another ?namespace="),
    (r"PRECONDITION_FAILED.*(timeout|timed out)", StoreUnavailable, "a job ran for longer than the server waits for its end: raise consumer_timeout in rabbitmq.conf"),
    (r"PRECONDITION_FAILED.*(larger than|size)", StoreError, "a job is larger than the server takes: raise max_message_size in rabbitmq.conf, or store less in it"),
    (r"NOT_FOUND|\(404", StoreUnavailable, "a queue was deleted, or has no leader now: try again"),
    (r"RESOURCE_LOCKED|\(405", StoreUnavailable, "another connection has that queue for itself: try again"),
    (r"CERTIFICATE_VERIFY|certificate|hostname mismatch", StoreError, "the server's certificate was not accepted: name the authority's with ?ca="),
    (r"IncompatibleProtocol|StreamLost.*Transport indicated EOF.*START|SSLEOF|UNEXPECTED_EOF", StoreUnavailable, "the server closed the connection before it said anything: try again; if it goes on, amqps:// is for TLS (port 5671), amqp:// for none (5672)"),
    (r"SSL|WRONG_VERSION|record layer", StoreError, "the server speaks another protocol here: amqps:// is for TLS (port 5671), amqp:// for none (5672)"),
    (r"Name or service|name resolution|nodename|No address associated|gaierror", StoreUnavailable, "there is no such host: check its name"),
    (r"refused|unreachable|No route", StoreUnavailable, "no server answers: start it, or check host and port"),
    (r"blocked|low on (memory|disk)|alarm", StoreFull, "the server takes no messages, for want of memory or disk: let workers drain the queue, or make room there"),
    (r"[Tt]imed? ?out|[Tt]imeout|StackTimeout", StoreUnavailable, "the server does not answer in time: try again, or check host and port"),
    (r"nack|refused by", StoreUnavailable, "the server did not take the message, for want of a majority of its nodes perhaps: try again"),
    (r"CONNECTION_FORCED|shutdown|\(320", StoreUnavailable, "the server closed the connection: try again"),
    (r"[Cc]losed|reset|lost|EOF|Broken pipe|heartbeat|not connected", StoreUnavailable, "the connection was lost: try again"),
]  # fmt: skip


def translated(error: object, shown: str) -> StoreError:
    """The `StoreError` that fits what the client raised, or the server said.

    Parameters:
        shown: of the `AmqpUrl`.
    """
    causes = [error]
    if isinstance(error, BaseException):
        causes += [cause for cause in error.args if isinstance(cause, BaseException)]
    text = " ".join(f"{type(cause).__name__}: {cause} {cause!r}" for cause in causes)
    for pattern, kind, advice in _MEANINGS:
        if re.search(pattern, text, re.DOTALL):
            return kind(f"{shown}: {advice}")
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StoreUnavailable(f"{shown}: {said}: try again")
