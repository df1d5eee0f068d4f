"""The error that a user is meant to read."""


class UserError(ValueError):
    """Something in the user's input is wrong. The message says what, where, and what would be right.

    The command line prints only the message, without a traceback, and exits with code 2.
    """


class LostProcessError(RuntimeError):
    """Another process of a training ended or cannot be reached. The message says how to go on; empty if another
    process says so.
    """
