"""What keeps the platform running: finding out what is wrong, and what to do about it."""
