"""For all tests: where CI says so, hypothesis tries the same examples every time, so that a change alone decides."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
