#!/bin/sh
# Unpacks nginx from Debian's or Ubuntu's packages into a directory: nothing is installed, and no daemon started.
set -eu
PATH="$PATH:/usr/sbin:/usr/local/sbin:$1/usr/sbin"
command -v nginx >/dev/null && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 1
# The lists of packages may be missing, as in images of containers; only root may fetch them.
apt-cache show nginx >/dev/null 2>&1 || { test "$(id -u)" = 0 && apt-get -qq update; }
mkdir -p "$1"
cd "$1"
for package in nginx nginx-core; do
  rm -f ./*.deb
  apt-get -qq download "$package" 2>/dev/null || continue
  dpkg-deb --extract ./*.deb .
  rm -f ./*.deb
  test -x usr/sbin/nginx && exec usr/sbin/nginx -v
done
exit 1
