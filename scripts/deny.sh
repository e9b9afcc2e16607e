#!/usr/bin/env bash
# deny.sh TOOLS: licences, sources and banned crates of all dependencies; known vulnerabilities
# too, where the database of advisories can be reached.
set -euo pipefail
tools=$1
version=0.20.2
deny=$(command -v cargo-deny || true)
if [ -z "$deny" ] || [ "$("$deny" --version)" != "cargo-deny $version" ]; then
  deny=$tools/bin/cargo-deny
  if [ ! -x "$deny" ]; then
    echo "building cargo-deny $version, once"
    # From another folder, so that the flags of this workspace do not apply to it.
    (cd / && env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --no-default-features \
      --version "$version" --root "$tools" cargo-deny)
  fi
fi
"$deny" --log-level warn check licenses bans sources
said=$(mktemp)
trap 'rm -f "$said"' EXIT
if ! timeout 60 "$deny" --log-level error check advisories >"$said" 2>&1; then
  if grep -qiE 'fetch|resolve host|connect|network' "$said"; then
    echo "advisories not checked: their database cannot be reached from here"
  else
    cat "$said"
    exit 1
  fi
fi
