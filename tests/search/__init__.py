"""Tests of bovw/search/."""
