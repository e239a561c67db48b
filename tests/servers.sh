#!/bin/sh
# What tests start themselves and pip cannot bring: `tests/servers.sh mariadb pgbouncer chromium`, or some.
# PostgreSQL comes with requirements.lock. No service is started. Installs what is missing where there is apt-get and
# root; where it cannot be had, one line says what to do, and the tests that need it fail and say the same.
set -u
PATH="$PATH:/usr/sbin:/sbin"

have() { command -v "$1" >/dev/null; }

missing() { # the Debian packages of the programs that are not there
    for what in "$@"; do
        case $what in
        mariadb)
            { have mariadbd && have mariadb-install-db; } || printf ' mariadb-server-core'
            have my_print_defaults || printf ' mariadb-client-core' # mariadb-install-db runs it
            ;;
        chromium) have chromium || have chromium-browser || have google-chrome || printf ' chromium' ;;
        pgbouncer) have pgbouncer || printf ' pgbouncer' ;;
        *) echo "usage: $0 [mariadb] [pgbouncer] [chromium]" >&2 && exit 2 ;;
        esac
    done
}

[ $# -gt 0 ] || set -- mariadb pgbouncer chromium
packages=$(missing "$@") || exit 2
[ -n "$packages" ] || exit 0
if ! have apt-get; then
    advice="install MariaDB's server and client, PgBouncer and Chromium with this system's package manager, and have \
mariadbd, mariadb-install-db, my_print_defaults, pgbouncer and chromium on the PATH."
elif [ "$(id -u)" != 0 ]; then
    advice="run once: sudo tests/servers.sh"
else
    echo "Installing for the tests (apt-get install$packages); no service is started."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120
    for package in $packages; do # one by one: a package that cannot be had holds up no other
        apt-get install -y -qq --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$package" >/dev/null
    done
    packages=$(missing "$@")
    [ -n "$packages" ] || exit 0
    advice="see what apt-get says above."
fi
echo "Missing, so the tests that need it will fail:$packages. What to do: $advice" >&2
