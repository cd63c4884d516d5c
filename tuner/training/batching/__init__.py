"""What the batch-size finder measures: speed, memory, the time to a target loss, and the noise of gradients."""
