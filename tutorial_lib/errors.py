"""The one kind of error that the command line reports in a line; every other one is a bug and shows its traceback."""


class InputError(ValueError):
    """Something that the user can mend: the message names the value, what is allowed, and what to do."""
