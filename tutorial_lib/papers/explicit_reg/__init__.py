"""Explicit Regularisation in Gaussian Noise Injections."""

NUMBER, SLUG = 4, "explicit-reg"
TITLE = "Explicit regularisation in Gaussian noise injections"
NOTE = (
    "The paper's numbers stand only in pictures, so the margins have none beside them. Two curves count as "
    "“quasi-identical” if, on average over training, they are less than half as far from each other as the noise's "
    "curve is from the baseline's."
)
