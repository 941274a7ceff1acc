"""Tests of bovw/workers/."""
