"""Tests of bovw/answers/."""
