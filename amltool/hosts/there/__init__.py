"""The part of a host over SSH that runs on that host: standard library alone, Python 3.6; it leaves no file there."""
