"""The tests, in the rooms of the package; promises that cross rooms have a folder of their own."""
