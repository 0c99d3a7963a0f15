"""The verbs: plain functions, values in, values out; no printing, no exiting, no command line."""
