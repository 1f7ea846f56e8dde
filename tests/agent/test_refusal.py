"""What a server says in plain text reaches the user, readable and harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icfleet_agent.errors import ClockSkewError, HttpStatusError
from icfleet_agent.refusal import raise_for_status
from icfleet_agent.transport import HttpReply

ACCEPTED = frozenset({200, 202})


@pytest.mark.parametrize("status", [200, 202])
def test_what_is_accepted_passes(status: int) -> None:
    raise_for_status(HttpReply(status, b"anything"), accepted=ACCEPTED)


def test_the_servers_words_are_told() -> None:
    body = b"Failed to authenticate request due to: Missing signature"

    with pytest.raises(HttpStatusError, match="Missing signature") as caught:
        raise_for_status(HttpReply(403, body, 5.0), accepted=ACCEPTED)

    assert (caught.value.status, caught.value.text) == (403, body.decode())
    assert caught.value.retry_after_s == 5.0
    assert not isinstance(caught.value, ClockSkewError)


def test_silence_is_told_too() -> None:
    with pytest.raises(HttpStatusError, match="HTTP status 503: no explanation"):
        raise_for_status(HttpReply(503, b""), accepted=ACCEPTED)


def test_a_clock_that_is_off_is_named() -> None:
    body = b"Invalid request expiry: Specified ingress_expiry not within expected range: ..."

    with pytest.raises(ClockSkewError, match=r"clock seems to be off.*not within expected range"):
        raise_for_status(HttpReply(400, body), accepted=ACCEPTED)


def test_only_a_400_is_about_the_clock() -> None:
    with pytest.raises(HttpStatusError) as caught:
        raise_for_status(HttpReply(500, b"Invalid request expiry: x"), accepted=ACCEPTED)

    assert not isinstance(caught.value, ClockSkewError)


def test_control_characters_do_not_reach_the_terminal() -> None:
    body = b"\x1b[2Jgone\r\nlevel=info forged=yes\x00\xff"

    with pytest.raises(HttpStatusError) as caught:
        raise_for_status(HttpReply(500, body), accepted=ACCEPTED)

    assert str(caught.value).isprintable()
    assert "gone level=info" in caught.value.text


def test_an_endless_explanation_is_cut() -> None:
    with pytest.raises(HttpStatusError) as caught:
        raise_for_status(HttpReply(500, b"x" * 1_000_000), accepted=ACCEPTED)

    assert len(caught.value.text) < 1100
    assert caught.value.text.endswith(" ...")


@given(st.integers(100, 599), st.binary(max_size=60))
def test_any_reply_raises_only_http_status_error(status: int, body: bytes) -> None:
    reply = HttpReply(status, body)
    if status in ACCEPTED:
        raise_for_status(reply, accepted=ACCEPTED)
        return

    with pytest.raises(HttpStatusError) as caught:
        raise_for_status(reply, accepted=ACCEPTED)

    assert caught.value.status == status
    assert str(caught.value).isprintable()
