# Starts gunicorn, or reloads it where it runs: for a machine without Docker and systemd, and to try a deployment out.
#
#   sh DEST/current/reload.sh      settings from DEST/env, log in DEST/gunicorn.log, process id in DEST/gunicorn.pid
set -eu
dest=$(cd "$(dirname "$0")/.." && pwd)
pid=$(cat "$dest/gunicorn.pid" 2>/dev/null || true)
# The process id may be an old one, and belong to somebody else by now.
if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dest/current/gunicorn.conf.py" &&
    kill -HUP "$pid"; then
    exit 0
fi
if [ -f "$dest/env" ]; then
    set -a
    . "$dest/env"
    set +a
fi
cd /
PYTHONPATH=$dest/current/shared:$dest/current/packages FUNCTIONS_DIR=$dest/current/functions \
    exec "${PYTHON:-python3}" -m gunicorn --config "$dest/current/gunicorn.conf.py" --bind "${BIND:-127.0.0.1:9100}" \
    --daemon --pid "$dest/gunicorn.pid" --error-logfile "$dest/gunicorn.log" --capture-output
