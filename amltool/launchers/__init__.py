"""Launchers: how the command of a run starts on a host."""
