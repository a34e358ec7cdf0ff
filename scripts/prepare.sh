#!/usr/bin/env bash
# Installs what this machine lacks, and nothing else.
#
#   scripts/prepare.sh build   what building Keng needs: a C/C++ compiler, CMake, the headers of
#                              OpenSSL, curl and zlib for librdkafka, and Rust
#   scripts/prepare.sh test    besides: Java and the Apache Kafka broker, Prometheus with promtool,
#                              rsyslog, Chromium with its driver, an SMTP server, pySigma, rsigma
#
# Debian and Ubuntu are installed for; elsewhere it names what is missing and stops.
set -euo pipefail
cd "$(dirname "$0")/.."

rust_version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

say() { printf 'keng: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs those of the named packages that are not there yet.
packages() {
  local missing=() name
  if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian or Ubuntu: install the equivalents of: $*"
    return
  fi
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  # A machine that has never fetched the package lists knows no package at all.
  if ! as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
}

rust() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  if ! command -v cargo >/dev/null; then
    say "installing Rust through rustup"
    packages curl ca-certificates
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal \
      --component clippy,rustfmt >/dev/null
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  local have
  have=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$rust_version" "$have" | sort -V | head -n 1)" != "$rust_version" ]; then
    if command -v rustup >/dev/null; then
      say "Rust $have is older than $rust_version: updating"
      rustup update stable >/dev/null
    else
      say "Rust $have is older than $rust_version: update it"
      exit 1
    fi
  fi
}

build() {
  packages gcc g++ make cmake pkg-config libssl-dev libcurl4-openssl-dev zlib1g-dev
  rust
}

test_parts() {
  build
  packages openssl xz-utils prometheus rsyslog chromium chromium-driver python3-aiosmtpd \
    python3-venv zstd
  command -v java >/dev/null || packages openjdk-17-jre-headless
  command -v mvn >/dev/null || packages maven
  scripts/kafka.sh fetch
  scripts/pysigma.sh fetch
  scripts/rsigma.sh build
}

case "${1:-}" in
  build) build ;;
  test) test_parts ;;
  *) sed -n '2,9p' "$0" >&2; exit 2 ;;
esac
