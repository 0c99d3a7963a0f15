"""amltool: every Git commit is an experiment you can run anywhere, and run again."""

__version__ = "0.1.0"
