"""espret: staged recipes for language-based audio retrieval and automated audio captioning.

Importing the package is cheap (no torch); each sub-package follows one stage of a recipe, see README.md.
"""

__version__ = "0.1.0"
