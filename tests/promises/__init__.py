"""Promises that cross rooms: crash, kill, equality, concurrency, format, hostile input."""
