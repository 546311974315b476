"""Noise Injection Node Regularization for Robust Learning."""

NUMBER, SLUG = 3, "ninr"
TITLE = "Noise injection node regularization"
NOTE = (
    "NINR is noise injection node regularization: in-NINR has a node at the first layer, full-NINR at every layer. "
    "“Under corruption” is the mean accuracy over σ_noise = 0.1 to 0.9 of eq. (8). Decay and catapult are the paper's "
    "names for its σ_ε; one claim is judged by the phases that our rules find instead. A run that diverged counts with "
    "what it has, chance accuracy and all epochs. But a claim that only such runs decide is not testable, and where "
    "there are any, the board says what is left without them."
)
