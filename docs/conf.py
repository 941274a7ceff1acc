"""How Sphinx makes the site: `scripts/make-site`."""

from bovw import __version__

project = "bovw"
html_title = f"bovw {__version__}"
extensions = ["myst_parser"]
root_doc = "index"
# `page.md#heading` works as it does where the repository is read
myst_heading_anchors = 4
language = "en_GB"
smartquotes = False
highlight_language = "text"
nitpicky = True
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
# no address of a repository, no fonts and scripts of others: the site needs nothing but itself
html_theme_options = {"top_of_page_buttons": []}
