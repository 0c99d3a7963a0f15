"""Configuration files: text to checked values, every mistake of a file at once, with its line."""
