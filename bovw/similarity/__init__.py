"""Whole pictures: what looks alike, what is a copy, and how a collection lies as a whole."""
