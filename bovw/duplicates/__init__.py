"""Which images of an index are copies of one another: groups around what is kept. Read `finding`
first.
"""
