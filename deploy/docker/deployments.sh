#!/bin/sh
# The pools and the deployments, made again whenever the stack starts: both commands bring up to date what is there.
# Of the automation a second one would be made.
set -eu
for pool in local gpu; do
    prefect --no-prompt work-pool create "$pool" --type process --base-job-template deploy/work-pools/process.json --overwrite
done
# One run a GPU, however many machines they are in.
prefect --no-prompt work-queue create gpu --pool gpu --limit "${GPUS:-1}" > /dev/null 2>&1 ||
    prefect --no-prompt work-queue set-concurrency-limit gpu "${GPUS:-1}" --pool gpu
prefect --no-prompt automation inspect flow-models-lost-runs > /dev/null 2>&1 ||
    prefect --no-prompt automation create --from-file automations.yaml
exec prefect --no-prompt deploy --all
