"""What admins may set."""

import pytest

from icfleet_canister import MemberSettings, settings_problem
from icfleet_canister.member_settings import SETTING_RANGES


def test_every_setting_has_a_range_and_its_default_is_inside() -> None:
    """In the same order, so that none is forgotten."""
    assert [name for name, _, _ in SETTING_RANGES] == list(MemberSettings._fields)
    assert settings_problem(MemberSettings()) is None


@pytest.mark.parametrize(("name", "lowest", "highest"), SETTING_RANGES)
def test_the_ends_of_a_range_are_allowed_and_nothing_beyond(
    name: str, lowest: int, highest: int
) -> None:
    """The reason names the setting, its value and its range."""
    for value in (lowest, highest):
        assert settings_problem(MemberSettings()._replace(**{name: value})) is None
    for value in (lowest - 1, highest + 1, 2**32 - 1):
        problem = settings_problem(MemberSettings()._replace(**{name: value}))
        assert problem == f"{name} is {value}, {lowest} to {highest} allowed"
