"""One problem, all the noises: the same network, data, updates and tuning for each. This wing may use the others'."""

NUMBER, SLUG = 6, "bridge"
TITLE = "One problem, five noises"
NOTE = (
    "Ours, and no paper's: one network, one set of images and one number of updates for every way of training. Each "
    "way has five strengths, and for each need the one is shown that was best on validation images."
)
