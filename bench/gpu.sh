#!/usr/bin/env bash
# Tries clipdet on a machine that has PyTorch, perhaps with a GPU, but no Go, no set-up
# and no network. --help tells how to use it.
set -uo pipefail

usage() {
  cat <<'END'
usage: bench/gpu.sh --programs DIR [--wheels DIR] [--out DIR] [--device DEVICE] [--minutes N]

Runs clipdet's checks and measurements with the PyTorch of python3: doctor, archives of random weights made here,
models verify, each stage against Python, clipdet bench in float32 and bfloat16, bench/compare.py, and what the device
does for one picture. A step that fails stops no other. At the end gpu.json and gpu.txt in the output folder have all
of it, and the exit code is 1 if a step didn't pass. The sizes on a CPU are small ones, to try the script itself.

The programs clipdet and parity are built elsewhere, for the same version of PyTorch:

  CLIPDET_CUDA=1 ./setup-libtorch.sh go build -tags nobuiltin -ldflags '-s -w' -o DIR/ ./cmd/clipdet ./pkg/internal/parity

Options:
  --programs  the folder of the two programs
  --wheels    a folder of wheels of the Python packages that python3 lacks. They are installed for this run alone
  --out       the output folder; default out/gpu in the clone
  --device    cpu, or cuda:N; default cuda:0 where PyTorch sees a GPU, else cpu
  --minutes   how long all steps together may take; default 8
  --help      this text
END
}

say() { printf 'gpu.sh: %s\n' "$*" >&2; }
wrong() {
  say "$*; --help tells how to use it"
  exit 2
}

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
programs='' wheels='' out=$repo/out/gpu device='' minutes=8
while (($# > 0)); do
  case $1 in
    -h | --help) usage && exit ;;
    --programs | --wheels | --out | --device | --minutes)
      (($# > 1)) || wrong "$1 lacks its value"
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    *) wrong "unknown argument $1" ;;
  esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || wrong "--minutes $minutes: want a number from 1"
for program in clipdet parity; do
  [[ -x $programs/$program ]] || wrong "--programs ${programs:-(not given)}: no program $program in that folder"
done
programs=$(cd "$programs" && pwd -P)
mkdir -p "$out" && out=$(cd "$out" && pwd -P) || exit 2
rm -f "$out"/*.json "$out"/*.log "$out"/*.txt "$out"/steps.tsv
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$repo" || exit 2

python=$(command -v python3) || wrong 'python3 is not on PATH'
if [[ -n $wheels ]]; then
  "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$scratch/packages" \
    "$wheels"/*.whl || wrong "--wheels $wheels: pip can't install them"
  export PYTHONPATH=$scratch/packages${PYTHONPATH:+:$PYTHONPATH}
fi
missing=$("$python" bench/gpu.py missing) || exit 2
if [[ -n $missing ]]; then
  say "python3 lacks $missing: with a network, run"
  say "  python3 -m pip download --no-deps --only-binary=:all: -d wheels $missing"
  say "and carry the folder here, for --wheels"
  exit 2
fi
# The libtorch that the programs were built to find isn't here. PyTorch's libraries find
# NVIDIA's by themselves.
libtorch=$("$python" bench/gpu.py libtorch) || exit 2
export LD_LIBRARY_PATH=$libtorch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export CLIPDET_HOME=$scratch/home GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}
[[ -n $device ]] || device=$("$python" -c 'import torch; print("cuda:0" if torch.cuda.is_available() else "cpu")') || exit 2

if [[ $device == cpu ]]; then
  clip=ViT-S-32-alt rpn=fasterrcnn_mobilenet_v3_large_320_fpn
  photos=(testdata/photos/coffee.jpg)
  proposals=16
  bench=(--batch-sizes '1,8' --rounds 1 --warm-up 1 -q dog -q cup)
  compare=(--quick)
else
  clip=ViT-B/32 rpn=fasterrcnn_resnet50_fpn
  photos=(testdata/photos/*.jpg)
  proposals=300
  bench=(--batch-sizes '1,8,32,64,256' --rounds 3 --warm-up 8)
  compare=(--rounds 2)
fi
models=$scratch/models
deadline=$((SECONDS + 60 * minutes))

# step NAME SECONDS COMMAND... runs a step and notes how it ended. What it prints goes to
# NAME.log in the output folder, with - for spaces.
step() {
  local name=$1 limit=$2 log=$out/${1// /-}.log start=$SECONDS state=passed left=$((deadline - SECONDS)) code
  shift 2
  ((limit <= left)) || limit=$left
  say "$name"
  if ((limit < 1)); then
    state='not run' && : >"$log"
  else
    timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 </dev/null
    code=$?
    case $code in
      0) ;;
      124 | 137) state="ended after $limit s" ;;
      *) state="failed with exit code $code" ;;
    esac
  fi
  [[ $state == passed ]] || say "$name: $state; see $log"
  printf '%s\t%s\t%d\n' "$name" "$state" $((SECONDS - start)) >>"$out/steps.tsv"
}

# parity_on DEVICE compares each stage with Python's. The stages that don't use libtorch
# are the same on every device.
parity_on() {
  step "parity on ${1%%:*}" 150 "$python" -m pytest -q -s -p no:cacheprovider --device "$1" --programs "$programs" \
    --detector "$rpn" --clip "${clip//\//-}" --figures "$out/parity-${1%%:*}.json" \
    bench/parity/test_pixels.py::test_crops bench/parity/test_proposals.py bench/parity/test_embeddings.py
}

step machine 60 "$python" bench/gpu.py machine --device "$device" --json "$out/machine.json"
for program in clipdet parity; do
  step "check $program" 20 ./setup-libtorch.sh --check "$programs/$program"
done
for dtype in float32 bfloat16; do
  step "export $dtype" 200 "$python" torchscript/export.py all --clip $clip --rpn $rpn --random 1 --dtype $dtype --out "$models"
done
step doctor 60 "$programs/clipdet" doctor --models "$models" --device "$device"
step verify 60 "$programs/clipdet" models verify --device "$device" "$models"
for dtype in float32 bfloat16; do
  step "bench $dtype" 90 "$programs/clipdet" bench --models "$models" --device "$device" --dtype $dtype --proposals $proposals \
    "${bench[@]}" \
    --json "$out/bench-$dtype.json" "${photos[@]}"
done
[[ $device == cpu ]] || parity_on "$device"
step counts 90 "$python" bench/gpu.py counts --device "$device" --models "$models" --clipdet "$programs/clipdet" \
  --proposals $proposals --json "$out/counts.json" "${photos[0]}"
step compare 150 "$python" bench/compare.py --device "$device" --programs "$programs" --models "$models" \
  --proposals $proposals "${compare[@]}" --json "$out/compare.json"
parity_on cpu

"$python" bench/gpu.py report "$out" && cat "$out/gpu.txt"
! cut -f2 "$out/steps.tsv" | grep -qv '^passed$'
