"""Searches of whole pictures, by what an index keeps of each as a whole, and by nothing that has to
be read again. Read `similar` first.
"""
