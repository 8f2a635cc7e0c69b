"""The shell that runs on nodes, and the files that it keeps there: `~/fleet/runs/<id>/rank-<k>/`.

    args.yaml command.sh          what the rank runs
    started supervisor pid pgid   claimed once, by mkdir; the trainer's process and its group
    log heartbeat                 its output; touched every 2 s while its supervisor lives
    stopped                       when a person asked for its end
    ended exit_code               the last things written

Each script expects its variables set before it (`dir`, `grace`, ...) and runs in `bash -s`.
"""

from __future__ import annotations

#: After a KILL, until the kernel has taken every process away: a rank with 8 GPUs frees much memory.
REAP_S = 30

#: Runs in the run's folder, in a session of its own. `set -m` gives the trainer its own process group (what a stop
#: signals); the claim by mkdir makes a second start a no-op; times come before exit_code, which comes at once.
SUPERVISE = r"""
cd "$1" || exit 1
mkdir "$2/started" 2>/dev/null || exit 0
: > "$2/heartbeat"
set -m
bash "$2/command.sh" > "$2/log" 2>&1 < /dev/null &
trainer=$!
set +m
echo $$ > "$2/supervisor"
echo "$trainer" > "$2/pgid"
echo "$trainer" > "$2/pid.new" && mv "$2/pid.new" "$2/pid"
( while kill -0 $$ 2>/dev/null; do touch "$2/heartbeat"; sleep 2; done ) > /dev/null 2>&1 &
beat=$!
wait "$trainer"
code=$?
kill "$beat" 2>/dev/null
date +%s.%N > "$2/ended"
echo "$code" > "$2/exit_code.new" && mv "$2/exit_code.new" "$2/exit_code"
"""

#: Everything whose working folder is the rank's: workers have groups and sessions of their own, outlive the wrapper.
OURS = r"""
here=$(cd "$dir" 2>/dev/null && pwd -P)
ours() { [ -z "$here" ] || find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$here" -o -lname "$here/*" \) \
  -printf '%h\n' 2>/dev/null | sed 's|.*/||'; }
"""

STOP = r"""
cd /
[ -d "$dir" ] || exit 0
[ -z "$mark" ] || [ -e "$dir/exit_code" ] || date +%s.%N > "$dir/stopped"
end=$(( $(date +%s) + grace ))
[ "$grace" = 0 ] || [ -z "$(ours)" ] || kill -TERM -- "-$(cat "$dir/pgid")" 2>/dev/null
while [ "$(date +%s)" -lt "$end" ] && [ -n "$(ours)" ]; do sleep 0.2; done
end=$(( $(date +%s) + reap ))
while left=$(ours); [ -n "$left" ]; do
  kill -KILL $left 2>/dev/null
  [ "$(date +%s)" -lt "$end" ] || { echo "still there after KILL:" $left >&2; exit 1; }
  sleep 0.1
done
for _ in $(seq 50); do
  [ ! -e "$dir/exit_code" ] && kill -0 "$(cat "$dir/supervisor" 2>/dev/null)" 2>/dev/null || break
  sleep 0.1
done
[ -e "$dir/exit_code" ] || { date +%s.%N > "$dir/ended"; echo 137 > "$dir/exit_code"; }
"""

#: exit_code is read before the log: what is written before an exit code is then surely in what is read. A trainer
#: that has ended has its supervisor for a moment longer: gone is only what neither lives nor left an exit code.
PROBE = r"""
cd "$dir" 2>/dev/null || { echo "gone 1"; exit 0; }
cat_() { [ ! -s "$1" ] || echo "$1 $(cat "$1")"; }
supervised() { [ "$(readlink "/proc/$(cat "$here/supervisor" 2>/dev/null)/cwd")" = "${here%/*}" ]; }
echo "now $(date +%s.%N)"
for f in exit_code ended stopped pid; do cat_ $f; done
echo "beat $(stat -c %Y heartbeat 2>/dev/null || echo 0)"
pid=$(cat pid 2>/dev/null)
if [ -n "$pid" ] && [ ! -e exit_code ]; then
  cd /
  if [ "$(readlink "/proc/$pid/cwd")" = "$here" ] || [ -n "$(ours)" ] || supervised; then
    echo "alive 1"
  elif [ ! -e "$here/exit_code" ]; then
    echo "alive 0"
  fi
  cd "$here"
elif [ -z "$pid" ] && [ -n "$(find started -maxdepth 0 -mmin +1 2>/dev/null)" ]; then
  echo "alive 0"
fi
echo "size $(stat -c %s log 2>/dev/null || echo 0)"
echo log
tail -c "+$((offset + 1))" log 2>/dev/null | head -c "$most"
"""

#: Folders of this user's ranks that are alive on the node.
LIVE = r"""
live() {
  for pid in "$HOME"/fleet/runs/*/rank-*/pid; do
    dir=${pid%/pid}
    [ -s "$pid" ] && [ ! -e "$dir/exit_code" ] || continue
    [ "$(readlink "/proc/$(cat "$pid")/cwd")" = "$(cd "$dir" && pwd -P)" ] || continue
    echo "$dir"
  done
}
"""

#: The runs of these: "busy <run>".
BUSY = (
    LIVE
    + r"""
live | while read -r dir; do run=${dir%/*}; echo "busy ${run##*/}"; done
"""
)

#: Of those that serve also where: "serves <run> <url>".
SERVES = (
    LIVE
    + r"""
live | while read -r dir; do
  url=$(grep -aoE '(Uvicorn running on|Running on local URL:) +https?://[^ ]+' "$dir/log" 2>/dev/null | tail -n 1)
  run=${dir%/*}
  [ -z "$url" ] || echo "serves ${run##*/} ${url##* }"
done
"""
)

#: The Python of an environment, or the system's where there is none yet.
PYTHON = 'python=$(ls -d "$HOME"/swift-env*/bin/python 2>/dev/null | head -n 1); python=${python:-python3}'

#: Starts `listener`, Python text, with the arguments `asked`, and gives its first line; it lives on by itself.
LISTEN = rf"""
{PYTHON}
said=$(mktemp)
setsid "$python" -I -c "$listener" "${{asked[@]}}" > "$said" 2>&1 < /dev/null &
for _ in $(seq 200); do [ -s "$said" ] && break; sleep 0.05; done
cat "$said"; rm -f "$said"
"""


def step_run(run_id: str, step: str) -> str:
    """The id by which the nodes know a later step of a run: run-7f3a.merge."""
    return f"{run_id}.{step}"


def whole_run(run_id: str) -> str:
    """The run that a step belongs to, by the step's id."""
    return run_id.partition(".")[0]


def rank_dir(run_id: str, rank: int) -> str:
    return f"~/fleet/runs/{run_id}/rank-{rank}"
