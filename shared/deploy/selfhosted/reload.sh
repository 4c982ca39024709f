# Starts gunicorn, or reloads it if it runs: for a machine without Docker and systemd, and to try a deployment.
#
#   sh DEST/current/reload.sh      config from DEST/env, log in DEST/gunicorn.log, process id in DEST/gunicorn.pid
#
# It listens at BIND (127.0.0.1:9100), and for Prometheus on METRICS_PORT (9101). DEST/env has one NAME=value a line, as systemd's
# EnvironmentFile: data, of which nothing is run or expanded.
set -eu
dest=$(cd "$(dirname "$0")/.." && pwd)
pid=$(cat "$dest/gunicorn.pid" 2>/dev/null || true)
# The process id may be stale and belong to another program by now.
if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dest/current/gunicorn.conf.py" &&
    kill -HUP "$pid"; then
    exit 0
fi
if [ -f "$dest/env" ]; then
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*} value=${line#*=}
        case $line in '' | '#'* | ';'*) continue ;; esac
        case $name in
            "$line" | '' | [0-9]* | *[!A-Za-z0-9_]*) echo "$dest/env: a line is not like NAME=value" >&2; exit 1 ;;
        esac
        case $value in
            \"*\") value=${value#\"} value=${value%\"} ;;
            \'*\') value=${value#\'} value=${value%\'} ;;
        esac
        export "$name=$value"
    done <"$dest/env"
fi
cd /
PYTHONPATH=$dest/current/shared:$dest/current/packages FUNCTIONS_DIR=$dest/current/functions METRICS_PORT=${METRICS_PORT:-9101} \
    exec "${PYTHON:-python3}" -m gunicorn --config "$dest/current/gunicorn.conf.py" \
    --daemon --pid "$dest/gunicorn.pid" --error-logfile "$dest/gunicorn.log" --capture-output
