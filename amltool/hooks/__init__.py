"""The doors that Git and pre-commit knock on: checks, and Git's hooks."""
