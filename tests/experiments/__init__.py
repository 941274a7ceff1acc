"""Tests of the experiments of the field."""
