from __future__ import annotations

import pytest

from unit.histories import alerting, folded, row, rule_of

MEAN = rule_of("anomaly: {}")
SIGMA = rule_of("anomaly: {parameters: {method: sigma}}")


def after(earlier: list, *amounts) -> list:
    """Rows of one user with these amounts, the earlier ones first."""
    return [row(number, amount) for number, amount in enumerate([*earlier, *amounts], start=1)]


def test_the_amount_51_back_has_left_the_history():
    # 3 x 200 = 600; with the 100000 of 51 back the mean would be over 2000.
    rows = after([100_000, *[200] * 50], "600.01")
    assert alerting(MEAN, rows) == [52]
    assert alerting(MEAN, rows, cuts=range(60)) == [52]


def test_the_amount_50_back_is_still_in_the_history():
    # (1000 + 49 x 200) / 50 = 216, and 3 x 216 = 648: 640 is over 3 x 200 alone.
    assert alerting(MEAN, after([1000, *[200] * 49], 640)) == []
    assert alerting(MEAN, after([1000, *[200] * 49], "648.01")) == [51]


def test_three_earlier_amounts_are_enough_and_two_are_not():
    assert alerting(MEAN, after([10, 10], 5000)) == []
    assert alerting(MEAN, after([10, 10, 10], 5000)) == [4]


def test_exactly_three_times_the_mean_is_usual_and_a_cent_more_is_not():
    assert alerting(MEAN, after([200, 200, 200], "600.00")) == []
    assert alerting(MEAN, after([200, 200, 200], "600.01")) == [4]
    # A mean of 200.333...: 3 x 601 / 3 = 601.00 exactly, which no binary fraction hits by chance.
    assert alerting(MEAN, after([200, 200, 201], "601.00")) == []
    assert alerting(MEAN, after([200, 200, 201], "601.01")) == [4]


def test_exactly_500_is_not_over_the_floor_and_a_cent_more_is():
    assert alerting(MEAN, after([1, 1, 1], "500.00")) == []
    assert alerting(MEAN, after([1, 1, 1], "500.01")) == [4]


def test_an_alerting_amount_joins_the_history():
    # 10, 10, 10, 5000: mean 1257.50, three times that is 3772.50.
    assert alerting(MEAN, after([10, 10, 10], 5000, 3772.5)) == [4]


def test_the_amount_itself_is_not_in_its_mean():
    # With itself the mean of 100, 100, 100, 900 would be 300, and 900 not over 900.
    assert alerting(MEAN, after([100, 100, 100], 900)) == [4]


def test_users_have_histories_of_their_own():
    others = [row(number, 4000, user=2) for number in range(11, 14)]
    assert alerting(MEAN, [*others, *after([10, 10, 10], 600)]) == [4]


def test_a_mean_of_nothing_or_less_is_a_mean():
    assert alerting(MEAN, after([0, 0, 0], "500.01")) == [4]
    assert alerting(MEAN, after([-300, -300, -300], "500.01")) == [4]


def test_amounts_of_thirteen_digits_are_compared_to_the_cent():
    huge = 9_000_000_000_00
    assert alerting(MEAN, after([huge] * 50, f"{3 * huge}.00")) == []
    assert alerting(MEAN, after([huge] * 50, f"{3 * huge}.01")) == [51]


def test_exactly_three_sigmas_over_the_mean_is_usual():
    # 400, 400, 600, 600: mean 500, deviation 100.
    assert alerting(SIGMA, after([400, 400, 600, 600], "800.00")) == []
    assert alerting(SIGMA, after([400, 400, 600, 600], "800.01")) == [5]


def test_an_amount_far_below_the_mean_is_no_anomaly():
    assert alerting(SIGMA, after([2000, 2000, 2001], 501)) == []


def test_without_deviation_a_cent_over_the_mean_is_an_anomaly():
    assert alerting(SIGMA, after([600, 600, 600], "600.00")) == []
    assert alerting(SIGMA, after([600, 600, 600], "600.01")) == [4]


def test_sigmas_of_thirteen_digits_are_compared_to_the_cent():
    low, high = 4_000_000_000_00, 6_000_000_000_00
    limit = (low + high) // 2 + 3 * (high - low) // 2
    assert alerting(SIGMA, after([low, low, high, high], f"{limit}.00")) == []
    assert alerting(SIGMA, after([low, low, high, high], f"{limit}.01")) == [5]


def test_a_fractional_factor_is_exact():
    rule = rule_of("anomaly: {parameters: {factor: 0.1, floor: 0}}")
    assert alerting(rule, after([1000, 1000, 1000], "100.00")) == []
    assert alerting(rule, after([1000, 1000, 1000], "100.01")) == [4]


def test_an_alert_says_what_the_rule_saw():
    alert = folded(MEAN, after([200, 200, 201], "700.00"))[0][0]
    assert alert["evidence"] == {"n": 3, "sum": "601.00", "mean": "200.33", "ratio": "3.49", "threshold": "601.00"}
    assert alert["reason"] == "700.00 is over 601.00, 3 times the mean 200.33 of the user's last 3 transactions"
    assert alert["score"] is None


def test_an_alert_of_sigmas_says_what_the_rule_saw():
    # 100, 200, 600: mean 300, variance (40000 + 10000 + 90000) / 3, deviation 216.02..., limit 948.07...
    alert = folded(SIGMA, after([100, 200, 600], "1200.00"))[0][0]
    assert alert["evidence"] == {
        "n": 3, "sum": "900.00", "mean": "300.00", "ratio": "4.00", "deviation": "216.02", "threshold": "948.07",
    }  # fmt: skip
    assert alert["reason"] == (
        "1200.00 is over 948.07, the mean 300.00 plus 3 standard deviations of 216.02 of the user's last 3 transactions"
    )


@pytest.mark.parametrize("parameters", ["history: 2", "history: 5, minimum: 6"])
def test_a_minimum_above_the_history_is_refused(parameters):
    with pytest.raises(Exception, match="so it would never alert"):
        rule_of(f"anomaly: {{parameters: {{{parameters}}}}}")
