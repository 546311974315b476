"""Explicit Regularisation in Gaussian Noise Injections."""

NUMBER, SLUG = 4, "explicit-reg"
TITLE = "Explicit regularisation in Gaussian noise injections"
NOTE = (
    "The paper's numbers stand only in pictures, so the margins have none beside them. The regulariser reproduces a "
    "curve of the noise if, on average over training, it keeps less than half of the baseline's distance, beyond what "
    "a second run with noise keeps, and is nearer than weight decay and a penalty on the input's gradient, each as "
    "strong as the noise."
)
