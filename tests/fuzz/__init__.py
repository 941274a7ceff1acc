"""Fuzzers, which run as commands for as long as one likes."""
