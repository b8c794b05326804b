# Modules under random calls. See "Abuse" in CONTRIBUTING.md.
