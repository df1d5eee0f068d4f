"""The one kind of error that a user is meant to read."""


class UserError(ValueError):
    """Something in the user's input is wrong: says what, where, and what would be right.

    The command line prints its text alone, without a traceback, and exits with code 2.
    """
