"""`python -m wpp`: the command line for operators and their scripts. Nothing that a function imports is in here."""
