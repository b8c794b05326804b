# What guests, debuggers and people do to the program that nobody should. See "Abuse" in CONTRIBUTING.md.
