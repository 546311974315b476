"""Activation Noise for EBM Classification."""

NUMBER, SLUG = 1, "activation-noise"
TITLE = "Activation noise for energy-based classification"
NOTE = (
    "Margins are in percentage points unless the row says otherwise. The paper's number is the same margin in its own "
    "CIFAR-10 column. Networks that reconstruct no better than their class's mean image test nothing."
)
