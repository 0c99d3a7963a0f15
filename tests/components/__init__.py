"""Real servers for tests: where they come from, and what happens where they cannot be had."""
