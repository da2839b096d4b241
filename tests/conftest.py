"""How hard Hypothesis tries: `HYPOTHESIS_PROFILE=long` is `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=os.environ.get("CI") == "true")  # CI is no place for luck
settings.register_profile("long", deadline=None, max_examples=50_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
