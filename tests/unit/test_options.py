"""Options that jobs share, and senseless values of single jobs."""

from __future__ import annotations

import argparse

import pytest

import produce_temperatures
from fraudstream import options
from fraudstream.errors import FraudstreamError


def test_names_are_separated_by_commas_and_trimmed():
    assert options.names("anomaly, velocity,") == ["anomaly", "velocity"]


@pytest.mark.parametrize("parse", [options.names, options.choices(["anomaly", "velocity"])])
def test_a_name_that_stands_twice_is_refused(parse):
    with pytest.raises(argparse.ArgumentTypeError, match="'anomaly' stands there more than once; name it once"):
        parse("anomaly,velocity,anomaly")


def test_a_name_that_is_not_allowed_is_refused_with_the_closest_one():
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"'velocty' is none of anomaly, velocity. Did you mean velocity"
    ):
        options.choices(["anomaly", "velocity"])("velocty")


def test_a_seed_below_0_is_refused():
    with pytest.raises(FraudstreamError, match=r"^--seed is -1; it must be 0 or more\.$"):
        produce_temperatures.main(["--seed", "-1", "--dsn", "host=nowhere.invalid"])
