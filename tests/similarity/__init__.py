"""Tests of the searches of whole pictures."""
