#!/bin/bash
#SBATCH --array=1-64
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --requeue
# 64 shards of the pictures in list.txt. Tasks that failed can be put into the queue again,
# all or some of them:
#   sbatch --array=3,17 array.sh 64
set -euo pipefail
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
clipdet detect --queries names.txt --files-from list.txt --format jsonl --shard "env${1:+/$1}" --out found >/dev/null
