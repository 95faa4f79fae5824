#!/bin/sh
# As in the official image: options alone mean the server, and the server does not stay root.
set -e

if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- valkey-server "$@"
fi

if [ "$1" = valkey-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user valkey -exec chown valkey {} +
        exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
    fi
    # The official program is compiled with this default; a container has no one else on its loopback.
    case "$2" in
    *.conf) ;;
    *)
        shift
        set -- valkey-server --protected-mode no "$@"
        ;;
    esac
fi

if [ "$(umask)" = 0022 ]; then
    umask 0077
fi
exec "$@"
