#!/usr/bin/env bash
# The tables of docs/BENCHMARKS.md that compare with other libraries, on this machine: half an hour or so. Without
# stories, all but scoring and tokenizing.
#   PYTHON=../.venv-bench/bin/python ./all.sh [STORIES [FOLDER OF GPT-2'S BPE FILES]]
set -euo pipefail
cd "$(dirname "$0")"
stories=${1:-} gpt2=${2:-}

run() {
    printf '\n`python benchmarks/%s`\n\n' "$*"
    "${PYTHON:-python}" "$@"
}

run train.py --recipe mini-2m --batch 16
run train.py --recipe mini-2m --batch 16 --dropout 0.1 --rivals ours
run train.py --recipe neo-41m --batch 8 --length 256 --rivals ours plain --rounds 2
run train.py --recipe gpt2-124m --batch 8 --length 128 --rivals ours plain --rounds 2
run generate.py --recipe mini-2m --rivals ours transformers litgpt --precisions fp32 int8 --llama-cpp f32
run generate.py --recipe mini-2m --precisions fp32 int8 --batches 32
run generate.py --recipe gpt2-124m --tokens 60 --rounds 3 --llama-cpp f32 f16 q8_0
run generate.py --recipe gpt2-124m --tokens 60 --rounds 3 --batches 1 32 --precisions fp32 bf16 --rivals ours
if [ -n "$stories" ]; then
    run score.py "$stories" --stories 32
    run tokenization.py "$stories" ${gpt2:+--gpt2 "$gpt2"}
fi
