"""Start workers: local processes now; Slurm and Ray have their room here."""
