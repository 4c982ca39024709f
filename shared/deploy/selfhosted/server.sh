# The part of `make deploy-selfhosted` that runs on the server: sh -s -- COMMAND DEST … < server.sh
#
#   check DEST                                      refuse what is not ours, create the folder, print which Python serves there
#   latest DEST                                     print the release that serves now, if there is one
#   discard DEST RELEASE                            remove a release that was sent and will not serve
#   activate DEST RELEASE URL SECONDS               switch, restart, wait for RELEASE to answer, else put the old one back
#
# DEST/current is a symbolic link into DEST/releases: it is replaced in one step, and pointing it back undoes a deployment.
# PYTHON is the command that runs Python there, RESTART the one that restarts the service; both are given to `sh -c`.
set -u
# Whoever started this may hang up: what has begun is finished or undone all the same.
trap '' HUP PIPE

say() { echo "$*" || true; }
fail() { echo "$*" >&2 || true; exit 1; }

fetch() {
    if command -v curl >/dev/null; then
        curl -fsS --noproxy '*' --max-time 5 "$1" 2>/dev/null
    else
        wget -q --no-proxy -T 5 -O - "$1" 2>/dev/null
    fi
}

check() {
    case $dest in
        / | /*/../* | /*/.. | /../*) fail "DEST=$dest: not a folder for functions" ;;
        /*) ;;
        *) fail "DEST=$dest: must be a whole path, from / on" ;;
    esac
    [ ! -e "$dest" ] || [ -d "$dest" ] || fail "DEST=$dest: is not a folder"
    if [ -d "$dest" ] && [ ! -e "$marker" ] && [ -n "$(ls -A "$dest" | grep -vx env)" ]; then
        fail "DEST=$dest: has files of others in it (no $marker); give a folder that is new, empty, or has only our env file"
    fi
    if [ -f "$dest/env" ] && [ -n "$(find "$dest/env" -perm /044)" ]; then
        fail "$dest/env holds secrets, and everybody here can read it: chmod 600 $dest/env"
    fi
    command -v flock >/dev/null || fail "flock is missing on the server: apt-get install util-linux"
    command -v rsync >/dev/null || fail "rsync is missing on the server: apt-get install rsync"
    command -v curl >/dev/null || command -v wget >/dev/null || fail "curl is missing on the server: apt-get install curl"
    mkdir -p "$dest/releases" && touch "$marker" && chmod 755 "$dest" "$dest/releases" ||
        fail "DEST=$dest: cannot be written to by $(id -un); sudo install -d -o $(id -un) $dest"
    sh -c "$PYTHON \"\$@\"" sh -c 'import platform; print(*platform.python_version_tuple()[:2], platform.machine())' </dev/null ||
        fail "Python cannot be run there: $PYTHON"
}

point_at() {  # in one step: there is no moment without `current`
    ln -sfn "releases/$1" "$dest/current.new" && mv -T "$dest/current.new" "$dest/current"
}

restart() { sh -c "$RESTART" </dev/null 9>&-; }  # what it starts must not keep the lock

# Both old and new workers may answer for a while, so one right answer proves nothing.
answers() {
    give_up=$(($(date +%s) + seconds))
    in_a_row=0
    seen="nothing"
    while [ "$(date +%s)" -lt "$give_up" ]; do
        seen=$(fetch "$url") || seen="nothing healthy"
        case $seen in
            *'"success":true'*"\"release\":\"$1\""*) in_a_row=$((in_a_row + 1)) ;;
            *) in_a_row=0 ;;
        esac
        [ "$in_a_row" -lt 6 ] || return 0
        sleep 0.1
    done
    say "$url: expected release $1, but this answers: $(printf %.200s "$seen")"
    return 1
}

put_back() {
    if [ -z "$old" ]; then
        rm -f "$dest/current"
        fail "NOT DEPLOYED: $1. There is no earlier release to put back"
    fi
    say "$1: putting $old back"
    point_at "$old" || fail "NOT DEPLOYED, and $dest/current could not be pointed back at releases/$old: do it by hand"
    restart && answers "$old" ||
        fail "NOT DEPLOYED. $old is back in $dest/current, but does not answer: restart the service by hand"
    fail "NOT DEPLOYED: $1. $old answers as before"
}

activate() {
    release=$1 url=$2 seconds=$3
    exec 9>"$dest/.lock" || fail "$dest/.lock cannot be written to by $(id -un)"
    flock -n 9 || fail "NOT DEPLOYED: another deployment is switching right now; try again"
    [ -f "$dest/releases/$release/VERSION" ] || fail "NOT DEPLOYED: another deployment has overtaken this one"
    trap 'put_back "interrupted"' INT TERM
    old=$(serving)
    point_at "$release" || fail "$dest/current cannot be replaced"
    restart || put_back "the restart command failed"
    answers "$release" || put_back "the new version does not answer"
    trap '' INT TERM
    [ -z "$old" ] || ln -sfn "releases/$old" "$dest/previous"
    pin() { grep '^gunicorn==' "$dest/releases/$1/requirements.txt"; }
    if [ -n "$old" ] && [ "$(pin "$old")" != "$(pin "$release")" ]; then
        say "note: gunicorn itself is new in this release; a reload keeps the old one until the service is restarted"
    fi
    if [ -n "$old" ] && ! diff -r "$dest/releases/$old/gateway" "$dest/releases/$release/gateway" >/dev/null 2>&1; then
        say "note: the gateway's routes have changed; put those in $dest/current/gateway in the place of the old ones"
    fi
    for folder in "$dest"/releases/*; do
        # A younger one belongs to a deployment that is still under way.
        case ${folder##*/} in "$release" | "$old") ;; *) [ "${folder##*/}" \> "$release" ] || rm -rf "$folder" ;; esac
    done
    echo "$release" >"$dest/.proven"
}

serving() {
    # What has answered, not what was merely switched to by somebody who was killed.
    if [ -f "$dest/.proven" ] && [ -d "$dest/releases/$(cat "$dest/.proven")" ]; then
        cat "$dest/.proven"
    elif [ -L "$dest/current" ]; then basename "$(readlink "$dest/current")"; fi
}

command=$1 dest=$2
marker=$dest/.wpp-functions
shift 2
case $command in
    check) check ;;
    discard) rm -rf "$dest/releases/${1:?}" ;;
    latest) serving ;;
    activate) activate "$@" ;;
    *) fail "unknown command $command" ;;
esac
