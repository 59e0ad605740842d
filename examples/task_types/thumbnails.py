"""Thumbnails of many pictures, which reducers put together into one sheet: Pillow works in processes of their own."""

import os
from pathlib import Path
from uuid import uuid4

from PIL import Image

from penstock import Penstock, map_reduce
from penstock.work import Workers

app = Penstock()
FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SIDE = 64


@app.task(queue="pictures", timeout=60, memory="512M", retries=2)
def thumbnail(name: str) -> str:
    """A small copy of a picture. One that takes too long or too much memory hurts no other."""
    with Image.open(FOLDER / name) as picture:
        picture.thumbnail((SIDE, SIDE))
        return saved(picture)


@app.task(queue="pictures", timeout=60)
def strip(names: list[str]) -> str:
    """Pictures side by side."""
    pictures = [Image.open(FOLDER / name) for name in names]
    sheet = Image.new("RGB", (sum(each.width for each in pictures), SIDE))
    place = 0
    for each in pictures:
        sheet.paste(each, (place, 0))
        place += each.width
        each.close()
    return saved(sheet)


def saved(picture: Image.Image) -> str:
    """Under a name of its own, so that a second run overwrites nothing; the name is what goes through the queue."""
    name = f"{uuid4().hex}.png"
    picture.save(FOLDER / name)
    return name


def demo() -> str:
    """Makes thumbnails of 24 pictures."""
    names = [f"photo{number}.png" for number in range(24)]
    for number, name in enumerate(names):
        Image.new("RGB", (800, 800), (10 * number, 120, 250 - 10 * number)).save(FOLDER / name)
    with Workers(f"{__name__}:app", 2, quiet=True):
        name = map_reduce(names, thumbnail, strip, fan_in=6).delay().result(timeout=60)
    with Image.open(FOLDER / name) as sheet:
        return f"{len(names)} pictures in a sheet of {sheet.width} x {sheet.height}"
