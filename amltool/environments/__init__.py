"""Execution environments: the interpreter and packages a run needs."""
