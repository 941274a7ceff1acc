"""Other people's networks: from the colours of a picture, or a text, to a vector.

May import what comes before `networks` in tests/test_layers.py. Read `embedder` first: it is all
that an index knows of networks. `recipe` says how pixels are brought to a network, `model` runs one
that is an ONNX file, `text` does so for the words of a picture's description.
"""
