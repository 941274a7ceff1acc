"""Tests of bovw/geometry/."""
