import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.masking import without_password, without_passwords

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////srv/a:b@c/jobs.db", "sqlite:////srv/a:b@c/jobs.db"),
        ("redis://:s3cr3t@h/0", "redis://:***@h/0"),
        ("amqp://guest@h:5672/", "amqp://guest@h:5672/"),
        ("postgresql://ada:s3cr3t@[::1]:5432/db?schema=x", "postgresql://ada:***@[::1]:5432/db?schema=x"),
        ("postgresql://h:5432/db?user=ada&password=s3cr3t&x=1", "postgresql://h:5432/db?user=ada&password=***&x=1"),
        ("mongodb://ada:s3cr3t@h:1,i:2/db", "mongodb://ada:***@h:1,i:2/db"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=s3cr3t", "mongodb://h/?tlsCertificateKeyFilePassword=***"),
        ("amqp://a:s3cr3t@h/?backend=redis://b:s3cr3t@i/0", "amqp://a:***@h/?backend=redis://b:***@i/0"),
        ("amqp://h:5672/?backend=redis://b:s3cr3t@i/0", "amqp://h:5672/?backend=redis://b:***@i/0"),
        ("amqp://h/?backend=redis%3A%2F%2Fb%3As3cr3t%40i&x=1", "amqp://h/?backend=redis%3A%2F%2Fb%3A***%40i&x=1"),
        ("amqp://h/?backend=mongodb%3A%2F%2Fi%2Fd%3Fpassword%3Ds3cr3t", "amqp://h/?backend=mongodb%3A%2F%2Fi%2Fd%3Fpassword%3D***"),
        ("ada:s3cr3t@host/db", "ada:***@host/db"),
        ("ada:s3cr3t://@host/db", "ada:***@host/db"),
        ("shop:app", "shop:app"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_url(url, shown):
    assert without_password(url) == shown


# A letter first, as `1/` can as well be a port and a path; and no `?x=`, with which a query begins.
@given(
    st.sampled_from(["postgresql://u", "redis://", "amqps://u", "mongodb+srv://u", "u"]),
    st.text(":/?#@%&+;,!$'()[]x7 \t"),
    st.text(":/?#@%&+;,!$'()[]x7 \t"),
)
def test_no_character_of_a_password_gives_it_away(start, before, after):
    assert SECRET not in without_password(f"{start}:p{before}{SECRET}{after}@host:5432/db?schema=x")


def test_the_urls_of_a_text():
    text = f'connect("postgresql://ada:{SECRET}@h/db") failed\nsee https://h/x?token={SECRET}, (redis://:{SECRET}@h)'
    assert (
        without_passwords(text)
        == 'connect("postgresql://ada:***@h/db") failed\nsee https://h/x?token=*** (redis://:***@h)'
    )
    plain = "key: value, 3:30 a@b.c https://host/a:b@c"
    assert without_passwords(plain) == plain


@pytest.mark.parametrize(
    "bait",
    [
        "//a:" * 10_000,
        "x://" * 10_000,
        "x://a:b" + "@" * 100_000,
        "%2F%2F" * 10_000,
        "x://" + "?password" * 20_000,
        "x://?" + "password" * 20_000,
        "a" * 100_000,
        "%2F%2Fa%3A" * 3_000,
    ],
    ids=lambda bait: bait[:12],
)
def test_a_long_text_takes_no_long_time(bait):
    began = time.process_time()
    without_passwords(f"x://{bait} {bait}")
    without_password(bait)
    assert time.process_time() - began < 5
