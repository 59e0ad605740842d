import pytest

from penstock.core.sizes import format_bytes, parse_bytes
from penstock.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("1", 1), ("500M", 500 << 20), ("1.5G", 3 << 29), ("64 KiB", 64 << 10), ("2gb", 2 << 30), ("1T", 1 << 40)],
)
def test_sizes_are_read_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 000", "0", 0, -5, "1e3"])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ConfigError, match="size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (500 << 20, "500 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 41, "2.0 TiB"),
    ],
)
def test_sizes_are_written_short(size: int, text: str) -> None:
    assert format_bytes(size) == text
