#!/bin/sh
# What tests start themselves and pip cannot bring: MariaDB's server and Chromium. PostgreSQL comes with requirements.lock.
# Installs what is missing where that is possible; else the tests that need it fail and say so.
set -u
PATH="$PATH:/usr/sbin:/sbin"
missing=
for need in mariadbd:mariadb-server-core mariadb-install-db:mariadb-server-core chromium:chromium; do
    command -v "${need%%:*}" >/dev/null || missing="$missing ${need##*:}"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests (apt-get install$missing); no service is started."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq -o Acquire::Retries=3
    for package in $missing; do
        apt-get install -y -qq --no-install-recommends -o Acquire::Retries=3 "$package" >/dev/null
    done
else
    echo "Missing, so tests that need it will fail. As root: apt-get install$missing" >&2
fi
exit 0
