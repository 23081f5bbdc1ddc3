"""What a recipe is: its plan (stages and steps), the ledger of what is done, and the runner that does the rest.

`utils/recipe.sh` declares the steps in shell; this package decides which are fresh and runs the others. Standard
library only (and a YAML reader), so that a run with nothing to do ends at once.
"""
