"""Canisters in processes of their own; see ``executor`` for how a message is undone there."""
