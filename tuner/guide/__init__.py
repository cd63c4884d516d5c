"""The guide's steps, one module each, and what they share: its budget, its ledger, its rounds and its questions."""
