#!/bin/sh
# The pools and the deployments, made again whenever the stack starts: both commands bring up to date what is there.
set -eu
for pool in local gpu; do
    prefect --no-prompt work-pool create "$pool" --type process --base-job-template deploy/work-pools/process.json --overwrite
done
exec prefect --no-prompt deploy --all
