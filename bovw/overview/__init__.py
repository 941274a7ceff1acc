"""A collection as a whole: its images in clusters, and on a map. Read `clusters` and `maps`."""
