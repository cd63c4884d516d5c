"""The benchmark of the diagnosis: planted faults and healthy trainings, what was said of them, how often rightly."""
