"""What pairs of images of an index have in common, by what is stored of them: candidates, and the
evidence that they are copies of one picture. Read `comparing` first.
"""
