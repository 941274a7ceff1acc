"""Pages for people: one self-contained HTML file, with plots as SVG.

May import: errors, pictures. Read first: `html.Page`; its look is `templates/style.css`.
"""
