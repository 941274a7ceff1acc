"""From a picture to visual words: local features, the vocabulary and its training, encoding.

May import: errors, arrays, pictures, storage, workers. Read first: `encoding.encode`.
"""
