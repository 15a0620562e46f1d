# Shared by the scripts beside it: brings a fresh Debian or Ubuntu machine to where smpki runs.
# Sourced with the project's root as working directory.

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need_debian PACKAGE...: installs what is missing; as root, or with sudo
need_debian() {
  local missing=() package
  command -v dpkg-query >/dev/null || fail "this is no Debian or Ubuntu: please install by hand what matches: $*"
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "missing Debian packages: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}"
}

# need_python: sets PYTHON to an interpreter of at least 3.11
need_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      PYTHON=$candidate
      break
    fi
  done
  [ -n "${PYTHON:-}" ] || fail "no Python of at least 3.11: Debian 12, Ubuntu 24.04 and newer have one (package python3)"
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || need_debian python3-venv
}

# need_venv FOLDER SPEC: a virtual environment with this project in it, made anew when pyproject.toml changed
need_venv() {
  local folder=$1 spec=$2 wanted
  wanted="$("$PYTHON" -c 'import sys; print(sys.version)') $spec $(sha256sum pyproject.toml)"
  if [ "$(cat "$folder/made-from" 2>/dev/null)" != "$wanted" ]; then
    say "installing the Python packages into $folder"
    rm -rf "$folder"
    "$PYTHON" -m venv "$folder" || fail "python could not make a virtual environment in $folder"
    # shellcheck disable=SC2086
    "$folder/bin/python" -m pip install -q $spec || fail "pip could not install the packages"
    printf '%s' "$wanted" >"$folder/made-from"
  fi
}
