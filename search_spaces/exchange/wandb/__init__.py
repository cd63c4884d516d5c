"""W&B sweep configurations: read them into spaces, and write spaces as such."""
