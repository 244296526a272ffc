#!/bin/sh
# Becomes the server, or, called as rabbitmqctl, rabbitmq-diagnostics or rabbitmq-queues, the tool that talks to it. Debian's own wrappers want
# root. Writes to /var/lib/rabbitmq and /tmp alone.
#
#   RABBITMQ_DEFAULT_USER (guest)
#   RABBITMQ_DEFAULT_PASS, or RABBITMQ_DEFAULT_PASS_FILE   the password (guest)
#   RABBITMQ_DEFAULT_VHOST (/)
#   /etc/rabbitmq/conf.d/*.conf                             more configuration, such as TLS
set -eu
base=/var/lib/rabbitmq
# The real path: the programs look for the server beside themselves.
sbin=$(readlink -f /usr/local/lib/rabbitmq-sbin)

user=${RABBITMQ_DEFAULT_USER:-guest}
password=${RABBITMQ_DEFAULT_PASS:-guest}
if [ -n "${RABBITMQ_DEFAULT_PASS_FILE:-}" ]; then password=$(cat "$RABBITMQ_DEFAULT_PASS_FILE"); fi
vhost=${RABBITMQ_DEFAULT_VHOST:-/}
# The server would take some of these for settings of its own, of another meaning.
unset RABBITMQ_DEFAULT_USER RABBITMQ_DEFAULT_PASS RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_DEFAULT_VHOST

# The host's name is the pod's and changes, the data of a node belong to its name. Nobody outside the pod talks Erlang to us.
export HOME=$base RABBITMQ_NODENAME=rabbit@localhost ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE=$base/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$base/enabled_plugins RABBITMQ_MNESIA_BASE=$base/mnesia \
    RABBITMQ_LOG_BASE=/tmp RABBITMQ_LOGS=- RABBITMQ_PID_FILE=$base/pid ERL_CRASH_DUMP_SECONDS=0

case ${0##*/} in
    rabbitmqctl|rabbitmq-diagnostics|rabbitmq-queues) exec "$sbin/${0##*/}" "$@" ;;
esac
case ${1:-rabbitmq-server} in
    rabbitmq-server) ;;
    *) exec "$@" ;;
esac

umask 077
# An emptyDir is of root, and Erlang insists on a cookie of its own user.
if [ ! -s "$base/.erlang.cookie" ]; then
    od -An -N 16 -tx1 /dev/urandom | tr -d ' \n' >"$base/.cookie.new"
    chmod 400 "$base/.cookie.new"
    mv "$base/.cookie.new" "$base/.erlang.cookie"
fi
echo '[].' >"$base/enabled_plugins"
# loopback_users: the default user may come from another pod.
cat >"$base/rabbitmq.conf" <<END
listeners.tcp.1 = 0.0.0.0:5672
loopback_users = none
default_user = $user
default_pass = $password
default_vhost = $vhost
disk_free_limit.absolute = 50MB
log.console.level = warning
END
for file in /etc/rabbitmq/conf.d/*.conf; do
    if [ -f "$file" ]; then cat "$file" >>"$base/rabbitmq.conf"; fi
done
# Erlang makes a table with a place for each file that it may open, which in a container can be a thousand million.
# dash knows it, which is the sh of the image.
# shellcheck disable=SC3045
ulimit -n 65536 2>/dev/null || true
# An idle scheduler of Erlang spins by default, which the machine of a test has no processor for.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
exec "$sbin/rabbitmq-server"
