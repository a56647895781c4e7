#!/usr/bin/env bash
# Tests setup-libtorch.sh with a libtorch that is ready; it makes it ready first. Each
# test has its own scratch folder. A test that calls tools has only those programs on
# PATH.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
setup=$repo/setup-libtorch.sh
export CLIPDET_CUDA=0
unset LIBTORCH
ready=${CLIPDET_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/clipdet}
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')

# expect CODE REGEX COMMAND... fails unless COMMAND exits with CODE and prints one line on
# stderr, which matches.
expect() {
  local code=0 said
  said=$("${@:3}" 2>&1 >/dev/null) || code=$?
  [[ $code == "$1" && $said =~ ^setup-libtorch:\ [^$'\n']*$ && $said =~ $2 ]] || {
    printf 'want exit code %s and one line that matches "%s", got %s and:\n%s\n' "$1" "$2" "$code" "$said"
    return 1
  }
}

# equal WHAT GOT WANT fails unless GOT is WANT.
equal() {
  [[ $2 == "$3" ]] || {
    printf '%s: got "%s", want "%s"\n' "$1" "$2" "$3"
    return 1
  }
}

# tools NAME... prints a folder for PATH that has only NAME... and what the script always
# needs.
tools() {
  local name
  mkdir -p bin
  for name in bash cat chmod cksum cmp cp df dirname echo env flock grep head ln mkdir mv od rm sed sleep tail true uname "$@"; do
    ln -sf "$(type -P "$name")" "bin/$name"
  done
  if [[ " $* " == *' python3 '* ]]; then ln -sf "$python" bin/python3; fi
  printf '%s/bin' "$PWD"
}

# own_home prints a new CLIPDET_HOME that has the wheels already.
own_home() {
  mkdir -p home/wheels
  cp -al "$ready"/wheels/{torch,nvidia_cuda_runtime,nvidia_cuda_cupti}*.whl home/wheels
  printf '%s/home' "$PWD"
}

test_stdout_belongs_to_the_command() {
  equal stdout "$("$setup" echo 'a  b')" 'a  b'
}

test_exit_code_is_the_commands() {
  local code=0
  "$setup" bash -c 'exit 7' || code=$?
  equal 'exit code' $code 7
}

test_ready_costs_less_than_a_fifth_of_a_second() {
  local start=${EPOCHREALTIME/./} _
  for _ in 1 2 3 4 5; do "$setup" true; done
  local each=$(((${EPOCHREALTIME/./} - start) / 5000))
  echo "overhead $each ms"
  ((each < 200))
}

test_env_is_the_commands_environment() {
  local names='CGO_ENABLED|CGO_CFLAGS|CGO_CPPFLAGS|CGO_CXXFLAGS|CGO_LDFLAGS' evaluated
  evaluated=$(eval "$("$setup" --env)" && env | grep -E "^($names)=" | sort)
  equal 'the environment' "$evaluated" "$("$setup" env | grep -E "^($names)=" | sort)"
  equal 'its variables' "$(wc -l <<<"$evaluated")" 5
}

test_flags_do_not_vary() {
  equal 'flags elsewhere and with flags of the user' \
    "$(cd / && CGO_CFLAGS=-O0 CGO_CXXFLAGS=-O0 CGO_LDFLAGS=-s CGO_CPPFLAGS=-DX "$setup" --env)" "$("$setup" --env)"
  expect 0 'replaces your CGO_LDFLAGS=-s' env -u CGO_CXXFLAGS CGO_LDFLAGS=-s "$setup" --verbose true
}

test_alone_it_tells_what_it_has() {
  local said
  said=$("$setup")
  [[ $said == *'2.11.0 cpu, new C++ ABI'* && $said == *'CLIPDET_CUDA=0'* && $said == *"$ready"* && $said == *'compiled, by'* ]] || {
    echo "the report lacks something: $said"
    return 1
  }
}

test_wrong_usage() {
  expect 2 'unknown option --cuda' "$setup" --cuda
  expect 2 'takes no command' "$setup" --env true
  expect 3 'CLIPDET_CUDA is .yes.: set it to 0 or 1' env CLIPDET_CUDA=yes "$setup" true
}

test_platform_is_named() {
  mkdir bin
  printf '#!/bin/sh\necho Darwin arm64\n' >bin/uname
  chmod +x bin/uname
  expect 3 'this is Darwin arm64; .* Linux on x86_64 or aarch64' env PATH="$PWD/bin:$PATH" "$setup" true
}

test_python_is_missing() {
  expect 3 'Python 3 with pip is needed .*apt install python3-pip' env PATH="$(tools)" CLIPDET_HOME="$PWD/home" "$setup" true
}

test_pip_is_missing() {
  python3 -m venv --without-pip bare
  python=$PWD/bare/bin/python3
  mkdir bin
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >bin/python3
  chmod +x bin/python3
  expect 3 'has no pip, .*apt install python3-pip' env PATH="$(tools)" CLIPDET_HOME="$PWD/home" "$setup" true
}

test_python_for_the_exports_is_missing() {
  expect 3 'needs Python 3.11, 3.12 or 3.13, .*apt install python3.11-venv' env PATH="$(tools)" CLIPDET_HOME="$PWD/home" "$setup" python -V
}

test_network_is_missing() {
  expect 3 'could not fetch torch==2.11.0: the network or the package index did not answer; run again' without_network
}
without_network() {
  env -u no_proxy -u NO_PROXY -u PIP_INDEX_URL -u PIP_FIND_LINKS PIP_RETRIES=0 PIP_PROXY=http://127.0.0.1:9 \
    CLIPDET_HOME="$PWD/home" "$setup" true 2> >(grep -v fetching >&2)
}

test_disk_is_too_small() {
  mkdir bin
  printf '#!/bin/sh\necho Filesystem 1024-blocks Used Available\necho /dev/x 1 1 1500000\n' >bin/df
  chmod +x bin/df
  expect 3 'libtorch \(cpu\) needs 3 GB free below .*/home, 1 GB are: .*CLIPDET_HOME' \
    env PATH="$PWD/bin:$PATH" CLIPDET_HOME="$PWD/home" "$setup" true
}

test_home_can_not_be_written() {
  expect 3 "can't write to /proc/clipdet: set CLIPDET_HOME" env CLIPDET_HOME=/proc/clipdet "$setup" true
}

test_go_is_missing() {
  expect 3 'go is not on PATH: install Go' env PATH="$(tools)" CLIPDET_HOME="$ready" "$setup" go version
  equal 'a command beside go' "$(PATH=$(tools) CLIPDET_HOME=$ready "$setup" echo hello)" hello
}

test_compiler_is_missing() {
  expect 3 'the C\+\+ compiler no-such-g\+\+ is missing: install it .*g\+\+' env CXX=no-such-g++ "$setup" true
}

test_damaged_wheel_is_removed() {
  mkdir -p home/wheels
  cp -al "$ready"/wheels/{nvidia_cuda_runtime,nvidia_cuda_cupti}*.whl home/wheels
  echo damaged >home/wheels/torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl
  local said
  said=$(CLIPDET_HOME=$PWD/home "$setup" true 2>&1) && return 1
  [[ $said == *'was damaged'*'removed: run again'* && ! -e home/wheels/torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl ]] || {
    echo "said: $said"
    return 1
  }
}

# Without go, so that gotch is not compiled again for the other folder.
test_interrupted_run_continues() {
  local home path pid
  home=$(own_home) path=$(tools python3)
  setsid env PATH="$path" CLIPDET_HOME="$home" "$setup" true 2>first.log &
  pid=$!
  until compgen -G "$home/tmp/libtorch-*/torch/lib" >/dev/null; do
    kill -0 $pid || { cat first.log && return 1; }
    sleep 0.05
  done
  kill -KILL -- "-$pid"
  wait "$pid" || true
  [[ ! -e $home/libtorch-2.11.0-cpu ]] || { echo 'half of libtorch stands where the whole belongs' && return 1; }
  PATH=$path CLIPDET_HOME=$home "$setup" true
  equal 'what is left of the first run' "$(ls -A "$home/tmp")" ''
  diff -rq "$ready/libtorch-2.11.0-cpu/torch" "$home/libtorch-2.11.0-cpu/torch"
}

test_two_at_once() {
  local home path
  home=$(own_home) path=$(tools python3)
  PATH=$path CLIPDET_HOME=$home "$setup" echo first >one 2>one.log &
  PATH=$path CLIPDET_HOME=$home "$setup" echo second >two 2>two.log
  wait $!
  equal 'what they wrote' "$(cat one two)" $'first\nsecond'
  equal 'times unpacked' "$(cat one.log two.log | grep -c unpacking)" 1
  equal 'times waited' "$(cat one.log two.log | grep -c 'another set-up is at work')" 1
}

test_works_without_flock() {
  local home path
  home=$(own_home) path=$(tools python3)
  rm bin/flock
  PATH=$path CLIPDET_HOME=$home "$setup" true
  [[ ! -e $home/lock.d ]]
  mkdir "$home/lock.d" && bash -c 'echo $$' >"$home/lock.d/pid"
  rm -r "$home/libtorch-2.11.0-cpu"
  expect 3 'killed left .*lock.d: remove' env PATH="$path" CLIPDET_HOME="$home" "$setup" true
}

test_folder_with_a_space() {
  local home
  mkdir 'a b' && cd 'a b' && home=$(own_home)
  PATH=$(tools python3) CLIPDET_HOME=$home "$setup" true
  printf 'package main\n\n// extern void at_manual_seed(long long);\nimport "C"\n\nfunc main() {}\n' >main.go
  (cd "$(dirname "$home")" && go mod init example.com/space 2>/dev/null)
  eval "$(PATH=$(tools python3) CLIPDET_HOME=$home "$setup" --env)"
  CGO_LDFLAGS="$CGO_LDFLAGS -lc10 -ltorch_cpu" go build -o space . && ./space
}

test_own_libtorch() {
  local own=$PWD/own version
  cp -al "$ready/libtorch-2.11.0-cpu/torch" own
  cp -al "$ready/libtorch-2.11.0-cpu/nvidia" nvidia
  PATH=$(tools) LIBTORCH=$own CLIPDET_HOME=$PWD/home "$setup" >report
  grep -q "2.11.0 cpu, new C++ ABI" report && grep -q "found by  LIBTORCH" report && grep -q -- "-I$own/include" report
  expect 3 'CLIPDET_CUDA=1, but LIBTORCH=.* has no lib/libtorch_cuda.so' env CLIPDET_CUDA=1 LIBTORCH="$own" "$setup" true
  expect 3 'is no libtorch' env LIBTORCH="$PWD" "$setup" true
  for version in 2.0.1 2.12.0+cpu 1.13.1 3.1.0 nightly; do
    echo $version >own/build-version
    expect 3 "holds libtorch ${version%+*}; gotch compiles with 2.1 to 2.11" env LIBTORCH="$own" "$setup" true
  done
  echo 2.1.0+cpu >own/build-version
  rm own/lib/libc10.so
  { head -c 64 "$ready/libtorch-2.11.0-cpu/torch/lib/libc10.so" && printf '_ZN3c105ErrorC2ENS_14SourceLocationESs'; } >own/lib/libc10.so
  PATH=$(tools) LIBTORCH=$own CLIPDET_HOME=$PWD/home "$setup" >report
  grep -q "2.1.0 cpu, old C++ ABI" report && grep -q -- '-D_GLIBCXX_USE_CXX11_ABI=0' report
  expect 3 'is not for aarch64, which this builds for' env GOARCH=arm64 LIBTORCH="$own" "$setup" true
  expect 3 'GOARCH is 386, for which there is no libtorch' env GOARCH=386 "$setup" true
}

test_libtorch_of_python() {
  local packages
  python3 -m venv --without-pip environment
  expect 3 "LIBTORCH=python, but $PWD/environment/bin/python3 has no torch" \
    env PATH="$PWD/environment/bin:$PATH" LIBTORCH=python "$setup" true
  expect 3 'LIBTORCH=python, but python3 is not on PATH' env PATH="$(tools)" LIBTORCH=python "$setup" true
  packages=$(echo environment/lib/python3*/site-packages)
  cp -al "$ready"/libtorch-2.11.0-cpu/{torch,nvidia} "$packages"
  echo 'raise SystemExit("finding torch must not run it")' >"$packages/torch/__init__.py"
  PATH=$PWD/environment/bin:$(tools) LIBTORCH=python CLIPDET_HOME=$PWD/home "$setup" >report # without go: nothing is compiled
  grep -q "found by  LIBTORCH=python, $PWD/environment/bin/python3" report
  grep -q -- "-Wl,-rpath,$PWD/environment/lib/python3.*/site-packages/torch/lib" report
}

# The libtorch of a program is another one, was moved, or is closed to the user.
test_check_says_why_a_program_does_not_start() {
  local name open
  "$setup" go build -C "$repo" -o "$PWD/built" ./cmd/clipdet
  equal 'a program that starts' "$("$setup" --check built)" "built finds all its libraries; libtorch is in $ready/libtorch-2.11.0-cpu/torch/lib"
  mkdir other # libraries of the right names that lack the symbols
  for name in libc10 libtorch_cpu; do
    echo 'int other;' | gcc -shared -x c - -Wl,-soname,$name.so -o other/$name.so
  done
  expect 3 "was built for the new C\+\+ ABI and finds a libtorch of the old one, $PWD/other/libc10.so .*cxx11.*unset LD_LIBRARY_PATH" \
    env LD_LIBRARY_PATH="$PWD/other" "$setup" --check built
  "$setup" --bundle bundle built
  equal 'its bundle' "$("$setup" --check bundle/built)" "bundle/built finds all its libraries; libtorch is in $PWD/bundle/torch/lib"
  mv bundle/torch/lib bundle/moved
  expect 3 "does not find libc10.so libtorch_cpu.so, which it was built to find in $PWD/bundle/torch/lib: put libtorch back" "$setup" --check bundle/built
  open=$(mktemp -d /tmp/clipdet-open.XXXXXX) # another user can enter it
  mv bundle/built "$open/" && cp "$setup" "$open/" && mkdir -p "$open/torch/lib" && chmod 755 "$open" && chmod 700 "$open/torch"
  expect 3 "does not find .*libtorch_cpu.so, .* $open/torch is closed to nobody. Set CLIPDET_HOME .*--bundle" \
    setpriv --reuid nobody --regid nogroup --clear-groups "$open/setup-libtorch.sh" --check "$open/built"
  rm -r "$open"
  expect 3 'none is no program' "$setup" --check ./none
  expect 2 'takes one program' "$setup" --check
}

# Another user runs the bundle in a root that has little else than /proc, like a
# container's.
test_bundle_runs_in_an_empty_root() {
  local name
  "$setup" go build -C "$repo" -o "$PWD/clipdet" ./cmd/clipdet
  "$setup" --bundle bundle clipdet >said
  grep -q '^bundle holds clipdet and its libraries (.*); copy the whole folder$' said
  expect 3 'bundle or bundle.partial is there already' "$setup" --bundle bundle clipdet
  expect 3 'does not load libtorch' "$setup" --bundle another "$(type -P true)"
  expect 2 'takes a new folder and a program' "$setup" --bundle another
  # shellcheck disable=SC2016 # the linker expands it
  equal 'what links it to this machine' "$(readelf -d bundle/clipdet | grep -c 'R.*PATH.*\[$ORIGIN/torch/lib\]')" 1
  for name in clipdet torch-2.11.0 nvidia_cuda_runtime-13.0.96 github.com_sugarme_gotch; do
    compgen -G "bundle/licences/$name/L*" >/dev/null || { echo "no licence of $name" && return 1; }
  done
  mkdir bundle/proc && mkdir -m 1777 bundle/tmp
  cp "$repo/testdata/images/scene-020.jpg" bundle/tmp
  env -i unshare --mount --pid --fork --mount-proc="$PWD/bundle/proc" "$(type -P chroot)" --userspec=65534:65534 "$PWD/bundle" \
    /clipdet detect --text-cache '' -q owl --top-k 1 --format csv /tmp/scene-020.jpg >found.csv
  grep -q '/tmp/scene-020.jpg,.*owl,' found.csv
  # A cache may have been written with another libtorch, whose last digit may differ.
  ./clipdet detect --text-cache '' -q owl --top-k 1 --format csv "$repo/testdata/images/scene-020.jpg" | sed "s#$repo/testdata/images#/tmp#" | diff - found.csv
}

CLIPDET_HOME=$ready
export CLIPDET_HOME
"$setup" true
failed=0
for test in $(compgen -A function test_); do
  [[ $test == *${1:-}* ]] || continue
  scratch=$(mktemp -d "$ready/test.XXXXXX") # beside the wheels, so that they can be linked and not copied
  log=$(mktemp)
  set +e # as a condition, a test would continue after a failure in it
  (
    set -e
    cd "$scratch"
    "$test"
  ) >"$log" 2>&1
  code=$?
  set -e
  if ((code == 0)); then
    echo "ok   $test"
  else
    echo "FAIL $test"
    sed 's/^/     /' "$log"
    failed=$((failed + 1))
  fi
  rm -rf "$scratch" "$log"
done
((failed == 0))
