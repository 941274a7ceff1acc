"""The one door through which pictures enter: found, opened, decoded within limits, upright, as grey
values or colours.

May import: errors. Read first: `reading.read_picture`.
"""
