"""Tests of bovw/features/."""
