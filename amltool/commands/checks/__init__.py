"""What each check looks at: functions from files to problems, shared by `amltool check` and the pre-commit checks.

None of them prints, and none imports more than it needs: they stand before every commit.
"""
