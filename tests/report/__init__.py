"""Tests of bovw/report/."""
