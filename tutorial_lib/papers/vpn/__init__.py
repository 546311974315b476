"""Variational Positive-incentive Noise."""

NUMBER, SLUG = 2, "vpn"
TITLE = "Variational positive-incentive noise"
NOTE = (
    "Margins of accuracies are in percentage points. The paper does not name its optimiser, nor what keeps Σ positive "
    "or bounds it; its authors' code departs from it. Ours follows the paper, with the departures as arguments."
)
