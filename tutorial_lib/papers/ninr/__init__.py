"""Noise Injection Node Regularization for Robust Learning."""

NUMBER, SLUG = 3, "ninr"
TITLE = "Noise injection node regularization"
NOTE = (
    "“Under corruption” is the mean accuracy over σ_noise = 0.1 to 0.9 of eq. (8). Decay and catapult are the paper's "
    "names for its σ_ε; one claim is judged by the phases that our rules find instead. A run that diverged counts in "
    "every claim on accuracy and epochs with what it has, chance and all epochs: on MNIST that is the fully connected "
    "network with in-NINR at the catapult σ_ε, and it speaks against most claims and for two, that the catapult costs "
    "clean accuracy and time."
)
