"""How Sphinx builds the pages, for `./run docs`: a warning is an error there.

The source folder is the clone: pages stand where the forge shows them, and their links hold in both places.
The finished pages ask nothing of other hosts.
"""

import sys
from pathlib import Path

import wgpy

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "daemon/deploy/packages")]

project, version = "wgpy", wgpy.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "generated"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "benchmarks/**.md", "tests/*/README.md"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

smartquotes = False  # `--` is two hyphens
default_role = "code"  # single backticks in docstrings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "wgpy"
html_copy_source = html_show_copyright = False
