"""One training at a time: its config, its data, its model, its loop, and what is read along the way."""
