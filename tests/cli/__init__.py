"""Tests of bovw/cli/."""
