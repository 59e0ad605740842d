"""Which lanes a command line asks for."""

import click
import pytest

from penstock.cli.lanes import POOLS, LaneSpec, chosen_lanes, running_lanes, standard_extent
from penstock.cli.worker import worker
from penstock.core.extent import Extent
from penstock.pools import POOLS as RUNNING


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lanes(*words: str) -> list[LaneSpec]:
    return chosen_lanes(worker.make_context("worker", ["shop:app", *words]))


def test_the_pools_are_those_of_the_worker():
    assert set(POOLS) == set(RUNNING)


def test_several_lanes():
    assert lanes("--lane", "cpu=prefork:8,1", "--lane", " io , mail = threads:2x50 ", "--lane", "a=b=threads") == [
        LaneSpec(("cpu",), "prefork", Extent(8, 1, 1)),
        LaneSpec(("io", "mail"), "threads", Extent(2, 50)),
        LaneSpec(("a=b",), "threads", Extent(1, 10)),
    ]


def test_the_lane_of_all_other_queues_comes_first():
    assert [lane.queues for lane in lanes("--lane", "cpu=prefork:1", "--lane", "*=prefork:1")] == [None, ("cpu",)]


@pytest.mark.parametrize(
    ("words", "extent"),
    [
        ("", standard_extent("prefork")),
        ("-c 3", Extent(3)),
        ("--processes 3", Extent(3)),
        ("--pool threads", Extent(1, 10)),
        ("--pool threads -c 50", Extent(1, 50)),
        ("--pool threads -c 50 --processes 2", Extent(2, 50)),
        ("--pool threads --processes 2", Extent(2, 10)),
    ],
)
def test_one_lane(words, extent):
    (lane,) = lanes(*words.split())
    assert lane.extent == extent


@pytest.mark.parametrize(
    "words",
    [
        ["--lane", "prefork:8"],
        ["--lane", "=prefork:8"],
        ["--lane", "cpu=fibers:8"],
        ["--lane", "cpu=prefork:2x4"],
        ["--lane", "cpu=threads:0"],
        ["--lane", "a,,b=threads"],
        ["--lane", "*=threads", "--lane", "*=prefork"],
        ["--lane", "cpu=prefork", "-c", "3"],
        ["--pool", "prefork", "-c", "3", "--processes", "2"],
        ["--pool", "threads", "-c", "5000", "--processes", "5000"],
    ],
)
def test_lanes_that_make_no_sense(words):
    with pytest.raises(click.UsageError):
        lanes(*words)


def test_the_nearest_source_decides_between_lanes_and_one_lane(folder, monkeypatch):
    (folder / "penstock.toml").write_text('[worker.lanes]\ncpu = "prefork:2"\nio = "threads:5"')
    assert len(lanes()) == 2
    assert lanes("-c", "1") == [LaneSpec(None, "prefork", Extent(1))]
    monkeypatch.setenv("PENSTOCK_WORKER_LANES", "a=prefork:1; b=threads:2; c,d=threads:3")
    assert [lane.queues for lane in lanes()] == [("a",), ("b",), ("c", "d")]
    monkeypatch.setenv("PENSTOCK_WORKER_POOL", "threads")
    with pytest.raises(click.UsageError, match="--pool"):
        lanes()
    assert lanes("--lane", "x=prefork:1") == [LaneSpec(("x",), "prefork", Extent(1))]


@pytest.mark.parametrize(
    ("words", "extent"),
    [
        ("--autoscale 8,1", Extent(8, 1, 1)),
        ("--pool threads --autoscale 100,5", Extent(1, 100, 5)),
        ("--pool threads --autoscale 2x50,5", Extent(2, 50, 5)),
    ],
)
def test_a_size_that_follows_the_work(words, extent):
    (lane,) = lanes(*words.split())
    assert lane.extent == extent


@pytest.mark.parametrize(
    "words", ["--autoscale 8", "--autoscale 1,8", "--autoscale 8,1 -c 3", "--autoscale 2x4,1", "--autoscale 8,1 --lane a=prefork"]
)  # fmt: skip
def test_sizes_that_follow_nothing(words):
    with pytest.raises(click.UsageError):
        lanes(*words.split())


def test_what_all_lanes_have_in_common():
    words = ["shop:app", "--lane", "a=prefork:4,1", "--lane", "b=threads", "--max-jobs-per-process", "9"]
    ctx = worker.make_context("worker", [*words, "--max-memory-per-process", "500M"])
    running = running_lanes("shop:app", chosen_lanes(ctx), ctx.params)
    assert [(lane.max_jobs_per_process, lane.max_memory_per_process) for lane in running] == [(9, 500 << 20)] * 2
    assert [(lane.least, lane.most) for lane in running] == [(1, 4), (None, None)]


@pytest.mark.parametrize("size", ['"500M"', "524_288_000"])
def test_a_size_of_memory_in_a_file(folder, size):
    (folder / "penstock.toml").write_text(f"[worker]\nmax_memory_per_process = {size}")
    assert worker.make_context("worker", ["shop:app"]).params["max_memory_per_process"] == 500 << 20
