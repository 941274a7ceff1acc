"""Tests of bovw/evaluation/."""
