#!/usr/bin/env bash
# Runs a command with UPDRAFT_TEST_AMQP_URL set to a fresh RabbitMQ of its own, and takes the node away afterwards. It listens on loopback,
# under a name, cookie, ports and an epmd of its own, so it meets no other node of this machine.
#
#   UPDRAFT_TEST_AMQP_URL      amqp://…, a user that may do everything
#   UPDRAFT_TEST_AMQPS_URL     amqps://…, which wants a client certificate (empty without openssl)
#   UPDRAFT_TEST_AMQPS_FILES   folder with ca.pem, client.pem, client.key
#   UPDRAFT_TEST_RABBITMQCTL   a program that runs rabbitmqctl against this node
#   UPDRAFT_TEST_RABBITMQ_NODE its node name
#
# Written for bash 3.2 and BSD tools too: macOS has no others.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

# The scripts of the server itself: Debian wraps them, and its wrapper insists on the node of the machine.
sbin=
for path in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin /opt/homebrew/opt/rabbitmq/sbin /usr/local/opt/rabbitmq/sbin; do
    if [ -x "$path/rabbitmq-server" ]; then sbin=$path; fi
done
if [ -z "$sbin" ] && command -v rabbitmq-server >/dev/null 2>&1; then
    sbin=$(dirname "$(python3 -c 'import os, sys; print(os.path.realpath(sys.argv[1]))' "$(command -v rabbitmq-server)")")
fi
[ -n "$sbin" ] || { echo "error: no rabbitmq server found; run tools/setup.sh test" >&2; exit 1; }

# Not below TMPDIR, which may be too long for a node.
folder=$(mktemp -d /tmp/updraft-mq.XXXXXX)
read -r port tls_port dist_port epmd_port <<EOF
$(python3 -c '
import socket
held = [socket.socket() for _ in range(4)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
EOF
password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')

node="updraft-$$@localhost"
# What the server, rabbitmqctl and epmd read. The cookie is in HOME.
node_env=(
    "HOME=$folder" "ERL_EPMD_PORT=$epmd_port" "ERL_EPMD_ADDRESS=127.0.0.1"
    "RABBITMQ_NODENAME=$node" "RABBITMQ_DIST_PORT=$dist_port" "RABBITMQ_CONF_ENV_FILE=/dev/null"
    "RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf" "RABBITMQ_ENABLED_PLUGINS_FILE=$folder/enabled_plugins"
    "RABBITMQ_MNESIA_BASE=$folder/data" "RABBITMQ_LOG_BASE=$folder/log" "RABBITMQ_PID_FILE=$folder/pid"
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
)
erlang=$(dirname "$(command -v epmd 2>/dev/null || echo /opt/homebrew/bin/epmd)")

server=
stop() {
    if [ -n "$server" ]; then
        # The whole group: the script that starts the node does not wait for it.
        kill -KILL -- "-$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    # Ours alone: its port is of this run. It goes only when no node is registered any more.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        case $(env "${node_env[@]}" "$erlang/epmd" -kill 2>&1 || true) in
            *Killed*|*"Cannot connect"*|*"local epmd not responding"*) break ;;
        esac
        sleep 0.2
    done
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

(umask 077 && printf '%s' "$password" >"$folder/.erlang.cookie")
echo '[].' >"$folder/enabled_plugins"
cat >"$folder/rabbitmq.conf" <<EOF
listeners.tcp.1 = 127.0.0.1:$port
default_user = updraft
default_pass = $password
disk_free_limit.absolute = 50MB
log.file = rabbit.log
EOF
amqps_url=
if command -v openssl >/dev/null 2>&1; then
    certs=$folder/certs
    mkdir "$certs"
    (
        cd "$certs"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=updraft test authority" -keyout ca.key -out ca.pem
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >san
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
            openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out "$name.pem"
        done
    ) >"$folder/openssl.log" 2>&1 || { cat "$folder/openssl.log" >&2; exit 1; }
    cat >>"$folder/rabbitmq.conf" <<EOF
listeners.ssl.1 = 127.0.0.1:$tls_port
ssl_options.cacertfile = $certs/ca.pem
ssl_options.certfile = $certs/server.pem
ssl_options.keyfile = $certs/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
EOF
    amqps_url="amqps://updraft:$password@localhost:$tls_port/%2F"
    export UPDRAFT_TEST_AMQPS_FILES=$certs
fi
{
    echo '#!/bin/sh'
    printf 'export'
    printf " '%s'" "${node_env[@]}"
    printf '\nexec "%s/rabbitmqctl" --quiet --node "%s" "$@"\n' "$sbin" "$node"
} >"$folder/rabbitmqctl"
chmod +x "$folder/rabbitmqctl"

env "${node_env[@]}" "$erlang/epmd" -daemon
# A group of its own, so that all of it can be ended.
set -m
env "${node_env[@]}" "$sbin/rabbitmq-server" >"$folder/server.log" 2>&1 &
server=$!
set +m
for _ in $(seq 1 240); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then started=1; break; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.25
done
[ -n "${started:-}" ] && "$folder/rabbitmqctl" await_startup --timeout 60 >/dev/null \
    || { cat "$folder/server.log" "$folder"/log/* >&2; exit 1; }

export UPDRAFT_TEST_AMQP_URL="amqp://updraft:$password@127.0.0.1:$port/%2F"
export UPDRAFT_TEST_AMQPS_URL=$amqps_url
export UPDRAFT_TEST_RABBITMQCTL=$folder/rabbitmqctl UPDRAFT_TEST_RABBITMQ_NODE=$node
cd "$root"
"$@"
