#!/bin/bash
# Grades a class as an array of jobs:
#
#     sbatch --array=1-8 slurm.sh SUITE SUBMISSIONS RESULTS
#
# SUITE, SUBMISSIONS and RESULTS are on a file system that all nodes share, and the packages mini-hypervisor and
# mini-hypervisor-tools are installed on each node, or GRADE names tools/grade. Each job grades its share, with as many
# submissions at once as it has processors. When all have ended, put the results together; this needs no job:
#
#     mini_hypervisor-grade --merge RESULTS
#
# A job that was ended, by its time limit or with its node, continues where it was when it is submitted again:
# sbatch --array=3 --export=ALL,SHARDS=8 slurm.sh SUITE SUBMISSIONS RESULTS
#SBATCH --job-name=grade
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --time=01:00:00
#SBATCH --signal=B:TERM@30
set -eu

shards=${SHARDS:-$SLURM_ARRAY_TASK_COUNT}
# exec: grade gets the signal that Slurm sends before the time is over, and leaves everything in order
exec "${GRADE:-mini_hypervisor-grade}" "$1" "$2" --out "$3" --shard "$SLURM_ARRAY_TASK_ID/$shards" --jobs "${SLURM_CPUS_PER_TASK:-1}"
