"""Runs over real HTTP against an endpoint that fails, stalls, truncates and lies; the account must stay right."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from annotated_pets import write_folder
from hypothesis import given
from hypothesis import strategies as st

from chatspot.data import read_records
from chatspot.data.regionchat.batch import export_batches, import_batch
from chatspot.data.regionchat.endpoint import Transient, read_completion
from chatspot.data.regionchat.ledger import Usage, most_of, open_ledger
from chatspot.data.regionchat.report import Tally
from chatspot.data.regionchat.run import REJECTED, REPORT, SAMPLES, fill, planned_calls, read_samples, replay
from chatspot.data.regionchat.settings import ChatSettings, parse_settings
from chatspot.errors import DataError
from hostile_endpoint import GOOD, Handler, completion, serving

pytest.importorskip("openai", reason="the extra regionchat is not installed")


def good(handler: Handler, number: int) -> None:
    handler.give(completion())


def settings_for(url: str, **changes: Any) -> ChatSettings:
    quick = {"model": "small", "base_url": url, "first_wait_s": 0.01, "longest_wait_s": 0.05, "timeout_s": 5.0}
    return ChatSettings(**{**quick, **changes})


def run(folder: Path, out: Path, settings: ChatSettings) -> Tally:
    """What ``chatspot data regionchat run`` does, without its printing."""
    records = list(read_records(folder))
    with open_ledger(out / "calls.sqlite") as ledger:
        stopped = asyncio.run(fill(ledger, planned_calls(records, settings), settings, api_key="none"))
        return replay(ledger, records, settings, out, stopped)


# ------------------------------------------------------------------------------------------------ as it should be


def test_a_run_writes_samples_and_pays_each_call_once(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(good) as server:
        tally = run(pictures, out, settings_for(server.url, input_price=1.0, output_price=10.0))
        again = run(pictures, out, settings_for(server.url, input_price=1.0, output_price=10.0))
        assert len(server.requests) == 5
    assert tally.to_json() == again.to_json()
    assert (tally.accepted, tally.turns, tally.complete, tally.stopped) == (5, 10, True, "")
    assert tally.account["input_tokens"] == 500
    assert tally.account["cost"] == pytest.approx((500 * 1 + 100 * 10) / 1e6)
    assert tally.account["attempts"] == {"answered": 5}
    samples = list(read_samples(out / SAMPLES))
    assert [s.id for s in samples] == [f"pets/{n}#chat.conversation.0" for n in range(5)]
    assert samples[0].image_paths[0].resolve() == (pictures / "images/0.jpg").resolve()
    assert json.loads((out / REPORT).read_text()) == tally.to_json()


def test_the_request_is_what_openai_documents(pictures: Path, tmp_path: Path) -> None:
    with serving(good) as server:
        run(pictures, tmp_path / "out", settings_for(server.url))
        request, headers = server.requests[0], server.headers[0]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert [m["role"] for m in request["messages"]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert (request["model"], request["seed"], request["max_tokens"]) == ("small", 0, 600)
    assert len(headers["x-client-request-id"]) == 64


def test_turns_beyond_those_asked_for_are_left_out(pictures: Path, tmp_path: Path) -> None:
    more = {"turns": [*GOOD["turns"], {"question": "rubbish", "answer": "rubbish"}]}
    with serving(lambda handler, number: handler.give(completion(json.dumps(more)))) as server:
        tally = run(pictures, tmp_path / "out", settings_for(server.url, turns=2))
    assert (tally.accepted, tally.turns) == (5, 10)


def test_a_model_too_small_for_json_writes_lines(pictures: Path, tmp_path: Path) -> None:
    lines = "\n".join(f"Q: {turn['question']}\nA: {turn['answer']}" for turn in GOOD["turns"])
    with serving(lambda handler, number: handler.give(completion(lines))) as server:
        tally = run(pictures, tmp_path / "out", settings_for(server.url, structured="lines"))
        assert "response_format" not in server.requests[0]
        assert "JSON" not in json.dumps(server.requests[0])
    assert tally.accepted == 5


def test_no_more_calls_at_a_time_than_allowed(tmp_path: Path) -> None:
    def slow(handler: Handler, number: int) -> None:
        time.sleep(0.03)
        handler.give(completion())

    folder = write_folder(tmp_path / "pets", 24)
    with serving(slow) as server:
        assert run(folder, tmp_path / "out", settings_for(server.url, concurrency=3)).complete
        assert server.busiest == 3


def test_replay_needs_no_endpoint_and_is_the_same_to_the_byte(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(good) as server:
        settings = settings_for(server.url)
        run(pictures, out, settings)
    before = {name: (out / name).read_bytes() for name in (SAMPLES, REJECTED, REPORT)}
    with open_ledger(out / "calls.sqlite") as ledger:
        replay(ledger, read_records(pictures), settings, out)
    assert {name: (out / name).read_bytes() for name in before} == before


# ------------------------------------------------------------------------------------------------ failing

Behaviour = Callable[[Handler, int], None]


def failing_once(fault: Behaviour) -> Behaviour:
    """The fault on the first request, good answers afterwards."""
    return lambda handler, number: fault(handler, number) if number == 0 else good(handler, number)


def hang_up(handler: Handler, number: int) -> None:
    handler.connection.close()


def stall(handler: Handler, number: int) -> None:
    time.sleep(0.7)


def body_cut_short(handler: Handler, number: int) -> None:
    handler.give(json.dumps(completion()).encode()[:40], Content_Length="4000")
    handler.connection.close()


PASSING = {
    "rate limit": (lambda h, n: h.error(429, Retry_After="0.01"), "free"),
    "rate limit without a time": (lambda h, n: h.error(429, Retry_After="soon"), "free"),
    "overloaded": (lambda h, n: h.error(503), "free"),
    "error": (lambda h, n: h.error(500), "in doubt"),
    "error as a web page": (lambda h, n: h.give(b"<html>oops</html>", 502), "in doubt"),
    "hangs up": (hang_up, "in doubt"),
    "stalls": (stall, "in doubt"),
    "drips": (lambda h, n: h.drip(1.0), "in doubt"),
    "cuts the body": (body_cut_short, "in doubt"),
    "no JSON": (lambda h, n: h.give(b"\xff\xfe hello"), "in doubt"),
    "half of JSON": (lambda h, n: h.give(json.dumps(completion()).encode()[:60]), "in doubt"),
    "nothing": (lambda h, n: h.give(b""), "in doubt"),
    "no choices": (lambda h, n: h.give({"choices": []}), "in doubt"),
    "a list": (lambda h, n: h.give([]), "in doubt"),
    "deep": (lambda h, n: h.give(b"[" * 100_000), "in doubt"),
    "content is a number": (lambda h, n: h.give(completion(7)), "in doubt"),
    "far too long": (lambda h, n: h.give(b" " * 5_000_000), "in doubt"),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_one_attempt(name: str, tmp_path: Path) -> None:
    fault, outcome = PASSING[name]
    folder = write_folder(tmp_path / "pets", 2)
    with serving(failing_once(fault)) as server:
        tally = run(folder, tmp_path / "out", settings_for(server.url, concurrency=1, timeout_s=0.4))
        assert len(server.requests) == 3
        most = most_of(server.requests[0])
    assert tally.complete
    assert tally.account["attempts"] == {"answered": 2, outcome: 1}
    assert tally.account["doubtful_tokens"] == (most.total if outcome == "in doubt" else 0)
    assert tally.account["input_tokens"] == 200 + (most.input_tokens if outcome == "in doubt" else 0)


def test_a_fault_that_stays_is_given_up_after_the_attempts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", 2)
    with serving(lambda handler, number: handler.error(500)) as server:
        tally = run(folder, tmp_path / "out", settings_for(server.url, attempts=3))
        assert len(server.requests) == 6
    assert (dict(tally.failed), tally.answered, tally.complete) == ({"server-error": 2}, 0, False)


def test_an_endpoint_that_is_down_ends_the_run(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", 30)
    with serving(good) as server:
        url = server.url
    tally = run(folder, tmp_path / "out", settings_for(url, attempts=2, concurrency=1, failures_to_stop=3))
    assert "3 calls in a row failed, the last one with connection" in tally.stopped
    assert tally.account["attempts"] == {"free": 6}
    assert tally.account["input_tokens"] == 0
    assert (dict(tally.failed), tally.missing) == ({"connection": 3}, 27)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_call_can_pass_ends_the_run_at_once(status: int, pictures: Path, tmp_path: Path) -> None:
    with serving(lambda handler, number: handler.error(status)) as server:
        tally = run(pictures, tmp_path / "out", settings_for(server.url, concurrency=1))
        assert len(server.requests) == 1
    assert f"HTTP {status}" in tally.stopped
    assert tally.missing == 5


def test_an_empty_account_is_no_rate_limit(pictures: Path, tmp_path: Path) -> None:
    with serving(lambda handler, number: handler.error(429, "insufficient_quota")) as server:
        tally = run(pictures, tmp_path / "out", settings_for(server.url, concurrency=1))
        assert len(server.requests) == 1
    assert "account" in tally.stopped


def test_a_refused_request_is_not_sent_again(pictures: Path, tmp_path: Path) -> None:
    def picky(handler: Handler, number: int) -> None:
        refused = "picture 2" in handler.server.requests[number]["messages"][-1]["content"]
        handler.error(400, "bad_schema") if refused else good(handler, number)

    with serving(picky) as server:
        for _ in range(2):
            tally = run(pictures, tmp_path / "out", settings_for(server.url, concurrency=1))
        assert len(server.requests) == 5
    assert (dict(tally.failed), tally.accepted) == ({"bad-request": 1}, 4)


# ------------------------------------------------------------------------------------------------ lying


@pytest.mark.parametrize(
    ("answer", "rejected"),
    [
        (completion("I can not do that."), "no-json"),
        (completion(""), "no-json"),
        (completion(None, choices=[{"message": {"content": None, "refusal": "No."}}]), "no-json"),
        (completion(json.dumps(GOOD)[:50], finish="length"), "truncated"),
        (completion(json.dumps(GOOD)[:50], finish="stop"), "no-json"),
        (completion(json.dumps(GOOD).replace("<r1>", "<r9>")), "unknown-region"),
        (completion(json.dumps(GOOD).replace("In the centre.", "At [40, 40, 60, 60].")), "coordinate-leak"),
        (completion(json.dumps(GOOD).replace("dog", "aeroplane")), "unsupported"),
        (completion("\ud83d half a pair"), "no-json"),
    ],
)
def test_what_a_liar_says_is_rejected_with_its_reason(answer: dict, rejected: str, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "pets", 1), tmp_path / "out"
    with serving(lambda handler, number: handler.give(answer)) as server:
        tally = run(folder, out, settings_for(server.url))
    assert (dict(tally.rejected), tally.accepted, tally.complete) == ({rejected: 1}, 0, True)
    line = json.loads((out / REJECTED).read_text())
    assert (line["id"], line["reason"]) == ("pets/0#chat.conversation.0", rejected)
    assert (out / SAMPLES).read_text() == ""


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "free",
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 5, "completion_tokens": 0},
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": 1.5, "completion_tokens": 3},
        {"prompt_tokens": 10**30, "completion_tokens": 3},
    ],
)
def test_usage_that_cannot_be_is_counted_at_its_most(usage: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", 1)
    with serving(lambda handler, number: handler.give(completion(usage=usage))) as server:
        tally = run(folder, tmp_path / "out", settings_for(server.url))
        most = most_of(server.requests[0])
    assert tally.accepted == 1
    assert (tally.account["input_tokens"], tally.account["output_tokens"]) == (most.input_tokens, most.output_tokens)
    assert tally.account["attempts"] == {"in doubt": 1}


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "model", "prompt_tokens"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_a_completion_or_malformed(raw: bytes) -> None:
    try:
        reply, usage, _ = read_completion(raw, asked_model="small")
    except Transient as error:
        assert error.reason == "malformed-reply"  # noqa: PT017
    else:
        assert isinstance(reply.content, str)
        assert usage is None or usage.total > 0


# ------------------------------------------------------------------------------------------------ ceilings


@pytest.mark.parametrize("paid", [120, 2000])
def test_no_ceiling_of_tokens_is_passed(paid: int, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", 20)
    usage = {"prompt_tokens": paid - 20, "completion_tokens": 20}
    with serving(lambda handler, number: handler.give(completion(usage=usage))) as server:
        settings = settings_for(server.url, most_tokens=12_000, concurrency=4)
        tally = run(folder, tmp_path / "out", settings)
        sent = len(server.requests)
        assert 0 < sent < 20
        again = run(folder, tmp_path / "out", settings)
        assert len(server.requests) <= sent + 4  # what the first run had in reserve may be left for few
        raised = run(folder, tmp_path / "out", settings_for(server.url, most_tokens=10_000_000))
    for each in (tally, again):
        assert "the ceiling of 12,000 tokens" in each.stopped
        assert each.account["input_tokens"] + each.account["output_tokens"] <= 12_000
    assert raised.complete


def test_no_ceiling_of_cost_is_passed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", 20)
    with serving(good) as server:
        settings = settings_for(server.url, input_price=2.0, output_price=8.0, most_cost=0.02, concurrency=2)
        tally = run(folder, tmp_path / "out", settings)
    assert "the ceiling of 0.02 in cost" in tally.stopped
    assert 0 < tally.account["cost"] <= 0.02
    assert tally.accepted > 0


def test_what_a_kill_left_open_stays_counted(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "calls.sqlite"
    with open_ledger(path) as ledger:
        ledger.plan("k", {"messages": []})
        ledger.begin("k", Usage(700, 600))
    with open_ledger(path) as ledger:
        assert ledger.counted == Usage(700, 600)
        assert ledger.account().doubtful == Usage(700, 600)


@given(st.text(max_size=200))
def test_no_request_has_more_tokens_than_its_upper_bound(text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 9}
    assert most_of(body).input_tokens >= len(text.encode("utf-8", "replace"))
    assert most_of(body).output_tokens == 9


# ------------------------------------------------------------------------------------------------ ledger


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with open_ledger(path), pytest.raises(DataError, match="used by another run"), open_ledger(path):
        pass


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"not a data base, but long enough to be looked at" * 99)
    with pytest.raises(DataError, match="no ledger"), open_ledger(path):
        pass


def test_a_signal_lets_calls_come_in_and_begins_no_others(tmp_path: Path) -> None:
    asked = threading.Event()

    def slow(handler: Handler, number: int) -> None:
        asked.set()
        time.sleep(0.3)
        handler.give(completion())

    def interrupt() -> None:
        asked.wait()
        signal.raise_signal(signal.SIGTERM)

    folder = write_folder(tmp_path / "pets", 20)
    with serving(slow) as server:
        settings = settings_for(server.url, concurrency=2)
        thread = threading.Thread(target=interrupt)
        thread.start()
        tally = run(folder, tmp_path / "out", settings)
        thread.join()
        sent = len(server.requests)
        assert tally.stopped == "signal SIGTERM"
        assert 1 <= sent <= 2
        assert tally.account["attempts"] == {"answered": sent}
        assert run(folder, tmp_path / "out", settings).complete
        assert len(server.requests) == 20


# ------------------------------------------------------------------------------------------------ batch services


def answered(line: str, **changes: Any) -> str:
    """The output line that a batch service gives for an input line."""
    entry = json.loads(line)
    response = {"status_code": 200, "request_id": "r", "body": completion()}
    return json.dumps({"id": "b", "custom_id": entry["custom_id"], "response": response, "error": None, **changes})


def test_batches_go_out_and_come_back_once(pictures: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back.jsonl"
    settings = settings_for("http://nowhere.invalid/v1")
    records = list(read_records(pictures))
    with open_ledger(out / "calls.sqlite") as ledger:
        done = export_batches(ledger, planned_calls(records, settings), settings, out / "batches")
        assert (done["exported"], done["over the ceiling"]) == (5, 0)
        lines = done["files"][0].read_text().splitlines()
        assert json.loads(lines[0])["url"] == "/v1/chat/completions"
        assert json.loads(lines[0])["body"]["model"] == "small"
        failed = {"response": {"status_code": 500, "body": None}}
        odd = ["", "{", "[]", "3", '{"custom_id": 3}', json.dumps({"custom_id": "z" * 64, "response": {}})]
        back.write_text("\n".join([answered(lines[0]), answered(lines[1]), answered(lines[2], **failed), *odd]))
        assert import_batch(ledger, back) == {"answered": 2, "failed": 1, "unusable": 4, "unknown": 1}
        assert import_batch(ledger, back)["kept"] == 2
        tally = replay(ledger, records, settings, out)
        assert (tally.accepted, dict(tally.failed), tally.missing) == (2, {"batch": 1}, 2)
        assert tally.account["input_tokens"] == 200
        rest = export_batches(ledger, planned_calls(records, settings), settings, out / "batches")
        assert rest["exported"] == 3


def test_batches_keep_to_the_ceilings(pictures: Path, tmp_path: Path) -> None:
    settings = settings_for("http://nowhere.invalid/v1", most_tokens=12_000)
    with open_ledger(tmp_path / "calls.sqlite") as ledger:
        calls = list(planned_calls(read_records(pictures), settings))
        fitting = 12_000 // most_of(calls[0].body).total
        done = export_batches(ledger, calls, settings, tmp_path / "batches")
    assert 0 < fitting < 5
    assert (done["exported"], done["over the ceiling"]) == (fitting, 5 - fitting)


def test_a_missing_batch_file_is_named(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "calls.sqlite") as ledger, pytest.raises(DataError, match="does not exist"):
        import_batch(ledger, tmp_path / "none.jsonl")


# ------------------------------------------------------------------------------------------------ plan and files


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "model"),
        ({"model": ""}, "model"),
        ({"model": "m", "modle": "n"}, "modle"),
        ({"model": "m", "turns": 1}, "turns"),
        ({"model": "m", "most_cost": -1}, "most_cost"),
        ({"model": "m", "kinds": ["poem"]}, "kinds"),
        ([], "settings"),
    ],
)
def test_settings_that_cannot_be_are_named(values: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_settings(values, "here")


def test_calls_differ_by_kind_number_and_picture(pictures: Path) -> None:
    def keys(**changes: Any) -> list[str]:
        return [c.key for c in planned_calls(read_records(pictures), ChatSettings(model="m", **changes))]

    assert len(set(keys(kinds=("conversation", "description"), samples=3))) == 5 * 2 * 3
    assert len(set(keys(samples=2, send_seed=False))) == 10
    assert not set(keys()) & set(keys(temperature=0.1))
    assert keys() == keys()


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"images": ["a"], "conversation": [], "id": 1}'])
def test_a_sample_line_that_cannot_be_read_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / SAMPLES
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=rf"{SAMPLES}:1: "):
        list(read_samples(path))


def test_the_ledger_is_a_plain_data_base(pictures: Path, tmp_path: Path) -> None:
    with serving(good) as server:
        run(pictures, tmp_path / "out", settings_for(server.url))
    connection = sqlite3.connect(tmp_path / "out" / "calls.sqlite")
    assert connection.execute("SELECT COUNT(*) FROM calls WHERE content IS NOT NULL").fetchone() == (5,)
    connection.close()
