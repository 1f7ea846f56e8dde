"""Runs unmodified Kybra canisters natively, under CPython, as the compiled ones would behave."""
