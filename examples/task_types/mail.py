"""Mail through an SMTP server: what it puts off is tried again, what it refuses for good is not."""

import smtplib
from email.message import EmailMessage

from local import smtp

from penstock import Backoff, GiveUp, Penstock, State
from penstock.work import Workers

app = Penstock()


@app.task(queue="mail", retries=5, backoff=Backoff(first=0.1), timeout=30)
def send(port: int, to: str, subject: str) -> None:
    """The Message-ID is the same on every attempt: who gets a letter twice can tell."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "shop@example.com", to, subject
    letter["Message-ID"] = f"<{subject.replace(' ', '-')}@example.com>"
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as server:
            server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = error.recipients[to]
        if code < 500:
            raise
        raise GiveUp(reason.decode()) from None


class Postbox:
    """A server that is busy at first, and knows nobody called Eve."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.asked = 0

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802
        """Answer to an address."""
        self.asked += 1
        if self.asked <= 2:
            return "451 too busy, try later"
        if address.startswith("eve@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        """Take a letter."""
        self.letters += envelope.rcpt_tos
        return "250 OK"


def demo() -> str:
    """Sends to three users, one of whom there is not."""
    postbox, names = Postbox(), ("ada", "bob", "eve")
    with smtp(postbox) as port:
        jobs = send.delay_many([(port, f"{name}@example.com", f"Order of {name}") for name in names])
        Workers(f"{__name__}:app", 2, quiet=True).run_until_empty()
    refused = [name for name, job in zip(names, jobs, strict=True) if job.state() is State.DEAD]
    return f"{len(postbox.letters)} letters after {postbox.asked} attempts; refused for good: {', '.join(refused)}"
