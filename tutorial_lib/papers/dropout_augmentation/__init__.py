"""Dropout as Data Augmentation."""

NUMBER, SLUG = 5, "dropout-augmentation"
TITLE = "Dropout as data augmentation"
NOTE = (
    "Margins of errors are in percentage points. The paper's errors stand in pictures only, so that most of its claims "
    "have no number. Networks, data and epochs of the desk tables are far smaller than the paper's."
)
