#!/bin/sh
# Starts a worker by Beam's boot program, which has to be on PATH, or named by BOOT. Each
# worker gets a staging folder of its own: two on one host would write the same files.
set -eu
dir=$(mktemp -d "${TMPDIR:-/tmp}/clipdet-beam.XXXXXX")
cd "$dir"
# Threads that wait for each other by spinning are slow where workers share processors.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
# exec, so that the worker's parent's parent is the process that wants it.
exec "${BOOT:-boot}" --semi_persist_dir="$dir" "$@"
