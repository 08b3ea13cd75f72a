"""What a checker raises."""


class InvariantBroken(AssertionError):
    """A run did what no cluster may do; the message says what, with ids and version."""
