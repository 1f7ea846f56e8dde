"""Polls start soon, become rarer, and give a failing server rest."""

from random import Random

from icfleet_agent.config import PollingConfig, RetryConfig
from icfleet_agent.polling import Poller

NO_JITTER = PollingConfig(delay_first_s=0.5, delay_growth=1.4, delay_max_s=1.0, jitter=0.0)
RETRY = RetryConfig(delay_growth=2.0, delay_max_s=5.0)


def delays(poller: Poller, *failures: bool) -> list[float]:
    return [round(poller.next_delay_s(has_failed=failed), 3) for failed in failures]


def test_pauses_grow_up_to_the_limit() -> None:
    poller = Poller(NO_JITTER, RETRY, Random(0))

    assert delays(poller, *[False] * 5) == [0.5, 0.7, 0.98, 1.0, 1.0]


def test_a_failing_server_is_asked_ever_more_rarely() -> None:
    poller = Poller(NO_JITTER, RETRY, Random(0))

    assert delays(poller, *[True] * 6) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_an_answer_ends_the_rest() -> None:
    poller = Poller(NO_JITTER, RETRY, Random(0))

    assert delays(poller, False, True, True, False, True) == [0.5, 0.7, 1.4, 0.7, 0.98]


def test_chance_shortens_pauses_and_never_lengthens_them() -> None:
    config = PollingConfig(delay_first_s=1.0, delay_max_s=1.0, jitter=0.2)
    poller = Poller(config, RETRY, Random(1))

    pauses = delays(poller, *[False] * 200)

    assert min(pauses) >= 0.8
    assert max(pauses) <= 1.0
    assert len(set(pauses)) > 100
