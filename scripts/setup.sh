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
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "missing Debian packages: ${missing[*]}; run this once as root, or with sudo installed"
  fi
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq || fail "apt-get update failed"
  for package in "${missing[@]}"; do
    offered "$package" || { add_backports && offered "$package"; } || fail "apt offers no package $package: please add a source that has it"
  done
  without_services as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}"
}

# without_services COMMAND...: what it installs does not start services, such as slapd
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
  "$@" || status=$?
  as_root rm -f "$policy"
  return "$status"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

offered() { [[ "$(LC_ALL=C apt-cache policy "$1")" == *"Candidate: "[0-9]* ]]; }

# add_backports: adds the backports of this Debian, from where the machine has the release itself, under the same key
add_backports() {
  local codename file uri suite added
  codename="$(. /etc/os-release && [ "$ID" = debian ] && printf '%s' "${VERSION_CODENAME:-}")" || return 1
  read -r file uri suite < <(apt-get indextargets --format '$(SOURCESENTRY) $(REPO_URI) $(RELEASE)' \
    'Created-By: Packages' 'Label: Debian' "Codename: $codename" 'Component: main') || return 1
  file="${file%:*}" uri="${uri%/}"
  added="/etc/apt/sources.list.d/smpki-backports.${file##*.}"
  say "adding $codename-backports from $uri ($added)"
  case "$file" in
    *.sources) # the stanza with other suites
      awk -v RS= -v uri="$uri" -v suite="$suite" -v backports="$codename-backports" '
        index($0, uri) && match($0, /(^|\n)Suites:[^\n]*/) && index(substr($0, RSTART, RLENGTH) " ", " " suite " ") {
          gsub(/(^|\n)Suites:[^\n]*/, "\nSuites: " backports)
          gsub(/(^|\n)Components:[^\n]*/, "\nComponents: main")
          print
          exit
        }' "$file" ;;
    *) # the line with another suite
      awk -v uri="$uri" -v suite="$suite" -v backports="$codename-backports" '
        $1 == "deb" && index($0, uri) && match($0, "[ \t]" suite "[ \t]") {
          print substr($0, 1, RSTART) backports " main"
          exit
        }' "$file" ;;
  esac | as_root tee "$added" >/dev/null
  if ! [ -s "$added" ] || ! as_root apt-get update -qq; then
    as_root rm "$added"
    return 1
  fi
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
