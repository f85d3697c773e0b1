"""What tests of models share."""

from tests.helpers.threads import one_thread  # noqa: F401  (a fixture)
