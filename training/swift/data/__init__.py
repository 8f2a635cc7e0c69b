"""Training data beside ms-swift's own reading of it: formats, what each task needs, and what is lost in silence."""
