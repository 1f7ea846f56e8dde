"""Candid values as JSON."""

import json

import pytest

from icfleet.candid_json import Json, candid_to_json
from icfleet_protocol.candid import Some
from icfleet_protocol.principal import ANONYMOUS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="bool"),
        pytest.param(2**80, 2**80, id="large-int"),
        pytest.param(1.5, 1.5, id="float"),
        pytest.param(float("nan"), "nan", id="nan"),
        pytest.param(float("-inf"), "-inf", id="infinite"),
        pytest.param(b"\x00\xff", "00ff", id="blob"),
        pytest.param(ANONYMOUS, "2vxsx-fae", id="principal"),
        pytest.param({"Ok": {"a": [b"\x01"]}}, {"Ok": {"a": ["01"]}}, id="nested"),
        pytest.param((1, "x"), [1, "x"], id="tuple"),
        pytest.param(Some(None), [None], id="option-in-option"),
        pytest.param({7: 1}, {"7": 1}, id="numbered-field"),
    ],
)
def test_each_kind_of_value_has_one_form(value: object, expected: Json) -> None:
    """Whatever Candid decodes to is JSON that every parser reads."""
    assert candid_to_json(value) == expected
    assert json.loads(json.dumps(candid_to_json(value), allow_nan=False)) == expected
