#!/bin/sh
# The database servers that tests start themselves. PostgreSQL comes with requirements.lock; MariaDB is Debian's.
# Installs what is missing where that is possible; else the tests that need it fail and say so.
set -u
PATH="$PATH:/usr/sbin:/sbin"
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing MariaDB's server for the tests (apt-get install mariadb-server-core); no service is started."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends mariadb-server-core mariadb-client-core >/dev/null
fi
command -v mariadbd >/dev/null ||
    echo "MariaDB's server is missing: tests that need it will fail. As root: apt-get install mariadb-server-core" >&2
exit 0
