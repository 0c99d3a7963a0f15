"""Fakes that users may test with, and the contract suite of every seam: subclass one, give it your piece, run pytest."""
