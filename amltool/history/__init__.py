"""Run history: the journal of runs that are not finished, and all finished runs in Git notes."""
