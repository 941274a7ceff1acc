"""The experiments of the field, on the evaluation's own code: classes as what is relevant, all ways
to ask side by side, and the collections that papers use.
"""
