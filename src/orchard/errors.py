"""The one kind of error that a user's mistake gives."""


class UserError(Exception):
    """A mistake in a config or an input, told in one message: value found, rule, reason, fix.

    Args:
        found: what was found, and where.
        rule: the rule that it breaks.
        reason: why the rule exists.
        fix: what to change.
    """

    def __init__(self, found: str, rule: str, reason: str, fix: str):
        super().__init__(f"found: {found}\n rule: {rule}\n  why: {reason}\n  fix: {fix}")
