"""Fakes that users may test with, and the contract suite of every seam: subclass one and give it your piece."""
