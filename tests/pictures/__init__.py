"""Tests of bovw/pictures/."""
