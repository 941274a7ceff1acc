"""The figures of the documentation, made from the shipped pictures by `scripts/make-figures`.

`collection` is what they are made from, `sheet` and `axes` what they are drawn on; `answers` shows
what bovw draws itself, `inside` what the engine sees on the way there, `charts` what it counts,
`page` a browser.
"""
