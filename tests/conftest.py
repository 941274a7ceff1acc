"""Settings of all tests."""

from __future__ import annotations

import os

# One thread a process: the threads of OpenMP wait for one another on a busy machine, ten times as
# long as they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
from hypothesis import settings

cv2.setNumThreads(1)
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")
