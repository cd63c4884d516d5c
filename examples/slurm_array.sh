#!/usr/bin/env bash
# Many nodes, one study: every task of this array runs the same command, and joins the same study.
# The total stays exact however many tasks run, start late, or die; a dead task's trial is taken over.
#
#   TUNER_STORAGE=postgresql+psycopg://user@host/name sbatch slurm_array.sh
#
# Change: the partition, the number of tasks, the resources of each, the time, and the command at the end.
#SBATCH --job-name=tuner
#SBATCH --partition=main
#SBATCH --array=0-7
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=tuner-%A_%a.log
# A task that was preempted, or whose node failed, starts again and adds to its log instead of clearing it.
#SBATCH --requeue
#SBATCH --open-mode=append
#
# Add where a training needs a GPU:  #SBATCH --gpus-per-task=1

set -euo pipefail

# A database server that all nodes reach. An SQLite file on a network disk loses data.
: "${TUNER_STORAGE:?must name a PostgreSQL database: postgresql+psycopg://user@host/name}"
export TUNER_STORAGE

# One folder for all nodes, filled beforehand: compute nodes often have no network.
export TUNER_DATA="${TUNER_DATA:-$HOME/data}"

# As many threads as cores were given; torch would take all of the node's.
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

# The environment in which symptune[postgresql] was installed.
source "${TUNER_ENVIRONMENT:-$HOME/symptune/.venv}/bin/activate"

# --trials is the total over all tasks. `exec`, so that Slurm's SIGTERM reaches the tuner itself: it hands its trial
# back before it ends. --grace: after so many seconds of silence a task counts as dead.
exec tuner search --task mnist --space mlp --study mnist-array --trials 200 --epochs 10 \
  --workers 1 --grace 60 --quiet
