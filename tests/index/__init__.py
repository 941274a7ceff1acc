"""Tests of bovw/index/."""
