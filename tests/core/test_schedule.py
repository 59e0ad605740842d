"""When runs are due, which of those that were missed are made up for, and what job each is."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from penstock.core.codec import decode_value
from penstock.core.decide import JobOptions
from penstock.core.job import NewJob
from penstock.core.schedule import (
    GRACE,
    CatchUp,
    Entry,
    Schedule,
    begin,
    check,
    decode_entry,
    encode_entry,
    latest_due,
    next_due,
    of_job,
    plan,
    revise,
    run_now,
    run_of,
    with_rule,
)
from penstock.errors import ConfigError

PARIS, NEW_YORK = "Europe/Paris", "America/New_York"


def cron(expression, tz="UTC", **fields):
    return Schedule("name", "app.task", b"payload", cron=expression, tz=tz, **fields)


def every(seconds, **fields):
    return Schedule("name", "app.task", b"payload", every=seconds, **fields)


def at(*parts, tz="UTC", fold=0):
    return datetime(*parts, tzinfo=ZoneInfo(tz), fold=fold).timestamp()


def due_times(schedule, after, until):
    found = []
    while (after := next_due(schedule, after)) is not None and after <= until:
        found.append(after)
    return found


def shown(moments, tz):
    return [datetime.fromtimestamp(moment, ZoneInfo(tz)).strftime("%d %H:%M%z") for moment in moments]


def test_a_cron_expression_says_when():
    after = at(2026, 3, 4, 11, 58, 30)
    assert next_due(cron("*/5 * * * *"), after) == at(2026, 3, 4, 12)
    assert next_due(cron("*/5 * * * *"), at(2026, 3, 4, 12)) == at(2026, 3, 4, 12, 5)
    assert next_due(cron("0 9 * * MON"), after) == at(2026, 3, 9, 9)
    assert next_due(cron("0 0 29 2 *"), after) == at(2028, 2, 29)
    assert next_due(cron("30 * * * * *"), after) == at(2026, 3, 4, 11, 59, 30)
    assert next_due(cron("@daily", PARIS), after) == at(2026, 3, 5, tz=PARIS)


def test_every_counts_from_the_epoch():
    assert next_due(every(30), 100.0) == 120.0
    assert next_due(every(30), 120.0) == 150.0
    assert latest_due(every(30), 120.0) == 120.0
    assert latest_due(every(30), 119.9) == 90.0


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1 / 3, 7.7, 86_400.0, 1e9])
def test_every_never_repeats_a_due_time_nor_leaves_one_out(seconds):
    schedule, chance = every(seconds), random.Random(1)
    for _ in range(300):
        now = chance.uniform(1.7e9, 1.8e9)
        latest, following = latest_due(schedule, now), next_due(schedule, now)
        assert latest <= now < following
        assert following - latest == pytest.approx(seconds, abs=1e-5)
        assert next_due(schedule, latest) == following
        assert latest_due(schedule, following) == following


# The clocks of Paris go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]),
        ("0 3 * * *", ["28 03:00+0100", "29 03:00+0200", "30 03:00+0200"]),
        ("59 1 * * *", ["28 01:59+0100", "29 01:59+0100", "30 01:59+0200"]),
    ],
    ids=["skipped", "after", "before"],
)
def test_a_time_that_the_clocks_skip_is_due_when_they_go_on(expression, expected):
    found = due_times(cron(expression, PARIS), at(2026, 3, 28, tz=PARIS), at(2026, 3, 31, tz=PARIS))
    assert shown(found, PARIS) == expected


def test_a_time_that_the_clocks_show_twice_is_due_once():
    found = due_times(cron("30 2 * * *", PARIS), at(2026, 10, 24, tz=PARIS), at(2026, 10, 27, tz=PARIS))
    assert shown(found, PARIS) == ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]
    # Whoever asks while the clocks show it for the second time is told of the next day.
    second = at(2026, 10, 25, 2, 10, tz=PARIS, fold=1)
    assert shown([next_due(cron("30 2 * * *", PARIS), second)], PARIS) == ["26 02:30+0100"]


@pytest.mark.parametrize("expression", ["*/15 * * * *", "5 * * * *"])
@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)])
def test_what_comes_each_hour_comes_in_each_hour_that_there_is(expression, day, hours):
    start = datetime(*day, tzinfo=ZoneInfo(PARIS))
    until = (start + timedelta(days=1)).timestamp()
    found = due_times(cron(expression, PARIS), start.timestamp() - 1, until - 1)
    gaps = {round(later - one) for one, later in itertools.pairwise(found)}
    assert gaps == ({900} if expression.startswith("*/15") else {3600})
    assert len(found) == hours * 3600 / gaps.pop()


@pytest.mark.parametrize(("tz", "day"), [(PARIS, (3, 29)), (PARIS, (10, 25)), (NEW_YORK, (3, 8)), (NEW_YORK, (11, 1))])
@pytest.mark.parametrize("expression", ["30 2 * * *", "30 1 * * *", "0 */3 * * *", "*/20 1-3 * * *", "15 2 * * 0"])
def test_due_times_only_grow_and_are_the_same_from_wherever_one_asks(tz, day, expression):
    schedule = cron(expression, tz)
    noon = at(2026, *day, 12)
    week = due_times(schedule, noon - 5 * 86_400, noon + 8 * 86_400)
    assert week == sorted(set(week))
    for start in (noon + quarter * 900 for quarter in range(-96, 96)):
        following = next(due for due in week if due > start)
        assert next_due(schedule, start) == following
        latest = latest_due(schedule, start)
        assert latest <= start
        assert next_due(schedule, latest) <= following


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (cron("* * * *"), "no cron expression"),
        (cron("61 * * * *"), "Bad minute"),
        (cron("0 0 30 2 *"), "Bad day"),
        (cron("0 0 31 4,6 *"), "Bad day"),
        (cron("* * * * *", "Mars/Olympus"), "no time zone"),
        (cron("* * * * *", "../etc/passwd"), "no time zone"),
        (cron("* * * * *", every=1.0), "not both"),
        (Schedule("name", "t", b""), "not both"),
        (every(0.01), "every="),
        (every(float("inf")), "every="),
        (every(float("nan")), "every="),
        (every(30, jitter=31.0), "jitter="),
        (every(30, jitter=-1.0), "jitter="),
        (replace(every(30), payload=b"p" * 100_001), "100,001 bytes"),
        (replace(every(30), name="a:b"), "name"),
        (replace(every(30), name=""), "name"),
        (replace(every(30), name="a\n"), "name"),
        (replace(every(30), name="ü" * 128), "name"),
    ],
    ids=range(18),
)
def test_what_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        check(wrong)


def test_the_words_of_catching_up():
    assert with_rule(every(1), catch_up="all").catch_up is CatchUp.ALL
    with pytest.raises(ConfigError, match='"skip", "once", "all", not \'never\''):
        with_rule(every(1), catch_up="never")


def standing(schedule, now):
    return begin(Entry(schedule), now)


def test_on_time_each_run_comes_once():
    entry = standing(every(30), 1000.0)
    assert plan(entry, 1019.9, 10).runs == ()
    assert plan(entry, 1019.9, 10).due == 1020.0
    for catch_up in CatchUp:
        planned = plan(replace(entry, schedule=every(30, catch_up=catch_up)), 1020.3, 10)
        assert (planned.runs, planned.due) == ((1020.0,), 1050.0)


@pytest.mark.parametrize(
    "schedule", [every(30), cron("7 * * * *"), cron("0 2 * * *", PARIS)], ids=["30 s", "1 h", "1 d"]
)
def test_what_was_missed_is_skipped_made_up_for_once_or_in_full(schedule):
    begun = at(2026, 3, 20)
    entry = standing(schedule, begun)
    now = at(2026, 4, 1, 12, 2)
    missed = due_times(schedule, begun, now)
    following = next_due(schedule, now)
    once = plan(entry, now, 10)
    assert (once.runs, once.due) == ((missed[-1],), following)
    skip = plan(replace(entry, schedule=replace(schedule, catch_up=CatchUp.SKIP)), now, 10)
    late = now - missed[-1] > GRACE
    assert (skip.runs, skip.due) == (() if late else (missed[-1],), following)
    whole, entry = [], replace(entry, schedule=replace(schedule, catch_up=CatchUp.ALL))
    while entry.due <= now:
        planned = plan(entry, now, 1000)
        assert len(planned.runs) <= 1000
        whole += planned.runs
        entry = replace(entry, due=planned.due)
    assert (whole, entry.due) == (missed, following)


def test_a_clock_that_is_set_back_brings_no_run_again():
    entry = standing(every(30), 1000.0)
    entry = replace(entry, due=plan(entry, 1020.0, 10).due, last=1020.0)
    assert plan(entry, 990.0, 10).runs == ()
    assert plan(entry, 990.0, 10).due == 1050.0
    # Nor does it when it is resumed, or has another rule.
    assert begin(entry, 990.0).due == 1050.0
    assert revise(entry, every(10), 990.0).due == 1030.0


def test_another_rule_holds_from_now_and_other_arguments_forget_nothing():
    entry = standing(cron("0 12 * * *"), at(2026, 1, 1))
    late = at(2026, 1, 3, 13)
    same = revise(entry, cron("0 12 * * *", priority=9, jitter=5.0), late)
    assert (same.due, same.schedule.priority) == (at(2026, 1, 1, 12), 9)
    assert revise(entry, cron("0 14 * * *"), late).due == at(2026, 1, 3, 14)
    assert revise(entry, cron("0 12 * * *", PARIS), late).due == at(2026, 1, 4, 11)


def test_each_schedule_has_its_own_part_of_the_jitter():
    many = [replace(every(60, jitter=30.0), name=f"schedule {n}") for n in range(300)]
    offsets = sorted(one.offset for one in many)
    assert 0 <= offsets[0] < 3
    assert 27 < offsets[-1] < 30
    assert [one.offset for one in many[:2]] == [one.offset for one in many[:2]]
    entry = standing(many[0], 1000.0)
    offset = many[0].offset
    assert entry.next_at == entry.due + offset
    assert plan(entry, entry.due + offset - 0.01, 10).runs == ()
    assert plan(entry, entry.due + offset, 10).runs == (entry.due,)


def test_a_paused_schedule_has_no_next_run():
    entry = standing(every(60), 1000.0)
    assert entry.next_at == 1020.0
    assert replace(entry, paused=True).next_at is None


def test_a_runs_job_is_the_same_whoever_makes_it():
    schedule = every(
        30, queue="mail", priority=8, unique="key", at_most_once=True, gate="app.task", options=JobOptions(retries=1)
    )
    job = run_of(schedule, 1020.0)
    assert job == run_of(msgspec.msgpack.decode(msgspec.msgpack.encode(schedule), type=Schedule), 1020.0)
    assert (job.task, job.payload, job.queue, job.priority) == ("app.task", b"payload", "mail", 8)
    assert (job.unique, job.at_most_once, job.gate, job.run_at) == ("key", True, "app.task", None)
    assert decode_value(job.options, JobOptions) == JobOptions(retries=1, due=1020.0)
    assert int.from_bytes(job.id[:6], "big") == 1_020_000
    assert (job.id[6] >> 4, job.id[8] >> 6) == (7, 2)
    ids = {run_of(replace(schedule, name=name), due).id for name in "abc" for due in (1020.0, 1050.0)}
    assert len(ids) == 6
    assert run_now(every(30), b"i" * 16) == NewJob(b"i" * 16, "app.task", b"payload")


def test_a_schedule_is_made_of_a_job():
    job = NewJob(b"i" * 16, "app.task", b"payload", "mail", 8, unique="key", at_most_once=True, gate="g")
    made = of_job(job, JobOptions(timeout=5.0), "name", every=30.0, catch_up="skip")
    assert run_now(made, b"i" * 16) == replace(job, options=run_now(made, b"i" * 16).options)
    assert made.catch_up is CatchUp.SKIP
    for wrong in (replace(job, delay=1.0), replace(job, run_at=1.0)):
        with pytest.raises(ConfigError, match="delay= and at="):
            of_job(wrong, JobOptions(), "name", every=30.0)


def test_an_entry_is_kept_as_bytes():
    entry = Entry(cron("0 2 * * *", PARIS, jitter=3.0), declared=True, changed=True, paused=True, due=5.0, last=4.0)
    assert decode_entry(encode_entry(entry)) == entry
    for wrong in (b"", b"\xc1", b"\x80", encode_entry({"schedule": {"name": "n", "catch_up": "some"}})):
        with pytest.raises(ConfigError, match="upgrade Penstock, or remove it"):
            decode_entry(wrong)


def test_rules_in_words():
    assert every(30).rule == "every 30 s"
    assert cron("0 2 * * *", PARIS).rule == "0 2 * * * Europe/Paris"
    assert datetime.fromtimestamp(next_due(cron("0 2 * * *"), 0.0), UTC).hour == 2
