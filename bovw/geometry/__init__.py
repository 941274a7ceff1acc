"""Geometric agreement of two pictures: from tentative matches to inliers, their certainty, a
transform, and differences.

May import: errors, arrays, pictures. Knows nothing of indexes. Read first:
`verification.verify_candidates`.
"""
