#!/usr/bin/env bash
# Sets up one node for ms-swift: local disk, uv, a profile's locked environment, the shared folder.
#
# Runs as the SSH user; needs sudo only to mount. Idempotent: a step that is done is skipped, and a run that was
# cut off goes on where it stopped. What it does can be read from outside, in ~/fleet/bootstrap/:
#   steps.tsv   step <tab> running|ok|skipped|failed <tab> seconds since 1970 <tab> detail
#   STEP.log    what the step printed
#   PROFILE.ready.json  versions, written last and only when everything is there
# The environment is in ~/swift-env for the profile base, in ~/swift-env-PROFILE for another. One that an image brings,
# made from the same lock file, is used as it is.
#
# Reads: PROFILE.txt beside this file: the packages, their versions, the Pythons that they are for
#        FLEET_PROFILE     base by default
#        FLEET_SHARED      "fs-...:fsap-...", the EFS file system and access point to mount; "NAME@tcp:/MOUNT", a Lustre
#                          one; or nothing
#        FLEET_SHARED_IAM  "iam," by default: the node's role is shown to the file system; empty where it has none
#        FLEET_SHARED_PATH where to mount it (default ~/shared)
#        FLEET_SHARED_ENVIRONMENT  1: the environment is in that folder, made by the first node that comes, for all
#        FLEET_SCRATCH     where the image has mounted the node's local NVMe (default /opt/dlami/nvme), if it has
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
profile=${FLEET_PROFILE:-base}
lock=$here/$profile.txt
env=$HOME/swift-env
[ "$profile" = base ] || env=$env-$profile
state=$HOME/fleet/bootstrap
shared=${FLEET_SHARED_PATH:-$HOME/shared}
shared=${shared/#\~/$HOME}
shelf=$shared/fleet-environments # of all nodes, where they share one
mkdir -p "$state" "$HOME/fleet/runs"
# Kept for the profiles that `fleet` adds later.
[ -z "${FLEET_SHARED_ENVIRONMENT:-}" ] || touch "$here/shared-environment"
exec 9> "$state/lock"
flock -n 9 || exit 0 # another one is at it

main() {
  rm -f "$state/$profile.ready.json"
  step checks checks
  step scratch use_scratch
  step uv get_uv
  if [ -e "$here/shared-environment" ]; then
    step shared mount_shared
    step environment share_environment
  else
    step environment make_environment
  fi
  case $profile in
    flash) step flash-attn build flash-attn==2.8.3 ;;
    megatron)
      step transformer-engine build transformer-engine-torch==2.16.0
      step flash-attn build flash-attn==2.8.3
      ;;
  esac
  exec 8>&- # the next node's turn
  [ -e "$here/shared-environment" ] || step shared mount_shared
  step verify verify
}

say() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$(date +%s)" "${3:-}" >> "$state/steps.tsv"; }

# step NAME COMMAND...: runs it with its output in NAME.log; return code 10 means "not done, and why in the last line".
step() {
  say "$1" running
  "${@:2}" > "$state/$1.log" 2>&1
  local code=$?
  case $code in
    0) say "$1" ok ;;
    10) say "$1" skipped "$(tail -n 1 "$state/$1.log")" ;;
    *) say "$1" failed "exit $code: $(grep -v '^[[:space:]]*$' "$state/$1.log" | tail -n 1)"; exit "$code" ;;
  esac
}

checks() {
  [ "$(uname -s)" = Linux ] || { echo "ms-swift's wheels are for Linux, this is $(uname -s)"; return 1; }
  local free needed=12
  case $profile in vllm | megatron) needed=25 ;; esac
  [ -r "$lock" ] || { echo "no lock file of profile $profile beside setup.sh"; return 1; }
  # torch's and vLLM's wheels are manylinux_2_28 (PEP 600)
  getconf GNU_LIBC_VERSION | awk '{split($2, v, "."); exit !(v[1] > 2 || v[2] >= 28)}' ||
    { echo "$(getconf GNU_LIBC_VERSION): the wheels need 2.28 or newer"; return 1; }
  free=$(df -Pk "$HOME" | awk 'NR==2 {print int($4/1048576)}')
  echo "$free GiB free in $HOME"
  [ "$free" -ge $needed ] || { echo "$free GiB free in $HOME: the environment needs $needed"; return 1; }
}

# ~/scratch, with the hub caches on it unless they are somewhere already: what can be fetched again. A stop loses it.
use_scratch() {
  local disk=${FLEET_SCRATCH:-/opt/dlami/nvme} mine name
  mine=$disk/fleet-$(id -un)
  mountpoint -q "$disk" || { echo "no local disk at $disk"; return 10; }
  mkdir -p "$mine" 2> /dev/null || sudo install -d -o "$(id -u)" -g "$(id -g)" "$mine" || return
  mkdir -p "$HOME/.cache" "$mine/huggingface" "$mine/modelscope" || return
  for name in huggingface modelscope; do
    [ -e "$HOME/.cache/$name" ] || ln -s "$mine/$name" "$HOME/.cache/$name" || return
  done
  [ -e "$HOME/scratch" ] || ln -s "$mine" "$HOME/scratch" || return
  df -Ph "$mine" | awk 'NR==2 {print $4 " free on " $6}'
}

get_uv() {
  find_uv && { "$UV" --version; return 10; }
  # Astral's installer needs nothing but curl; where it can't be reached, uv's wheel comes from the package index.
  curl -LsSf --max-time 60 https://astral.sh/uv/install.sh | env UV_NO_MODIFY_PATH=1 sh ||
    { python3 -m venv "$HOME/.local/uv" && "$HOME/.local/uv/bin/pip" install --quiet uv; }
  find_uv && "$UV" --version
}

find_uv() {
  UV=$(PATH="$HOME/.local/bin:$HOME/.local/uv/bin:$PATH" command -v uv)
}

make_environment() {
  local sum
  sum=$(sha256sum < "$lock" | cut -d' ' -f1)
  if [ "$(cat "$env/.lock" 2>/dev/null)" = "$sum" ]; then
    echo "$env holds this lock already"
    return 10
  fi
  # uv leaves an empty .lock in every environment that it installs into
  if [ -x "$env/bin/swift" ] && [ ! -s "$env/.lock" ] && [ ! -e "$env/.making" ]; then
    echo "$env was made by hand: used as it is"
    return 10
  fi
  mkdir -p "$env" && touch "$env/.making"
  local python
  for python in $(sed -n 's/^# python: //p' "$lock"); do
    "$UV" venv --quiet --allow-existing --python "$python" "$env" && break
  done
  [ -x "$env/bin/python" ] || { echo "no Python that profile $profile takes"; return 1; }
  "$UV" pip sync --quiet --python "$env/bin/python" "$lock" || return
  echo "$sum" > "$env/.lock"
  rm "$env/.making"
}

# A link to the shelf, whose folder is named after the lock: what others run is never changed. One node at a time, until
# what is compiled is there too; the lock goes with the process, on NFS within its lease (90 s).
share_environment() {
  local there
  [ -d "$shared" ] || { echo "no shared folder at $shared"; return 1; }
  there=$shelf/$profile-$(sha256sum < "$lock" | cut -c1-12)
  mkdir -p "$there" || return
  if [ -e "$env" ] && [ ! -L "$env" ]; then make_environment; return; fi # the image brings one
  ln -sfn "$there" "$env"
  exec 8> "$there.turn"
  flock -n 8 || { echo "another node makes it: waiting"; flock 8; } || return
  # its Python too must be where all nodes see it, and no hard link reaches across file systems
  export UV_PYTHON_INSTALL_DIR=$shelf/python UV_LINK_MODE=copy
  make_environment
}

# build PACKAGE==VERSION: what has no wheel for this torch is compiled against it, unless its maker has one (both packages'
# setup.py ask GitHub first). Only where a GPU is: nothing else needs it.
build() {
  local name=${1%%==*} cuda=${CUDA_HOME:-/usr/local/cuda} site
  "$UV" pip show --quiet --python "$env/bin/python" "$name" 2> /dev/null && { echo "$name is there"; return 10; }
  nvidia-smi -L 2> /dev/null | grep -q '^GPU ' || { echo "no GPU here: $1 is not built"; return 10; }
  [ -x "$cuda/bin/nvcc" ] || { echo "$1 can't be built: no compiler at $cuda/bin/nvcc. Take AWS's Deep Learning image"; return 1; }
  site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia
  # cuDNN's and NCCL's headers are in their wheels; a job of nvcc takes up to 8 GiB
  CUDA_HOME=$cuda CUDNN_PATH=$site/cudnn CPLUS_INCLUDE_PATH=$(printf '%s:' "$site"/*/include) NVTE_FRAMEWORK=pytorch \
    PATH=$env/bin:$cuda/bin:$PATH MAX_JOBS=$(awk '/MemAvailable/ {n = int($2 / 8388608); print n ? n : 1}' /proc/meminfo) \
    "$UV" pip install --quiet --python "$env/bin/python" --no-build-isolation --no-deps "$1"
}

mount_shared() {
  [ -n "${FLEET_SHARED:-}" ] || { echo "no shared folder asked for"; return 10; }
  mkdir -p "$shared"
  mountpoint -q "$shared" && { echo "$shared is mounted"; return 10; }
  case $FLEET_SHARED in
    *@tcp:*) mount_lustre ;;
    *) try_mount efs amazon-efs-utils "tls,${FLEET_SHARED_IAM-iam,}accesspoint=${FLEET_SHARED#*:}" "${FLEET_SHARED%%:*}:/" "$shared" ;;
  esac
  mountpoint -q "$shared" && touch "$shared/.writable" && ls -ld "$shared/."
}

# What is mounted is a folder of ours in it, for its root is root's.
mount_lustre() {
  local root=$state/lustre
  mkdir -p "$root"
  try_mount lustre lustre-client relatime,flock "$FLEET_SHARED" "$root" || return
  sudo mkdir -p "$root/fleet" && sudo chown "$(id -u):$(id -g)" "$root/fleet" && sudo umount "$root" || return
  try_mount lustre lustre-client relatime,flock "$FLEET_SHARED/fleet" "$shared"
}

# try_mount TYPE PACKAGE OPTIONS FROM FOLDER
try_mount() {
  # A package on Amazon Linux; elsewhere it must be in the image, for nothing is compiled here.
  command -v "mount.$1" > /dev/null || sudo dnf --quiet --assumeyes install "$2" || return
  local try
  for try in 1 2 3 4 5 6; do
    sudo mount -t "$1" -o "$3" "$4" "$5" && return
    echo "try $try: a new file system's name takes a while to resolve"
    [ "$try" -lt 6 ] && sleep 10
  done
  return 1
}

verify() {
  "$env/bin/python" - "$shared" "$env" "$profile" << 'PY' > "$state/ready.new" && mv "$state/ready.new" "$state/$profile.ready.json"
import hashlib, importlib.metadata as meta, json, os, pathlib, platform, sys
names = sorted(f"{d.name}=={d.version}" for d in meta.distributions())
env = pathlib.Path(sys.argv[2])
wanted = {"ms_swift": "ms-swift", "torch": "torch", "transformers": "transformers", "peft": "peft"}
facts = {key: meta.version(name) for key, name in wanted.items()}
swift = env / "bin/swift"
if not os.access(swift, os.X_OK):
    sys.exit(f"{swift} is missing")
lock = env / ".lock"
facts |= {
    "profile": sys.argv[3],
    "python": platform.python_version(),
    "lock": lock.read_text().strip() if lock.exists() else "by hand",
    "freeze_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    "swift": str(swift),
    "shared_path": os.path.realpath(sys.argv[1]) if os.path.isdir(sys.argv[1]) else "",
}
print(json.dumps(facts))
PY
}

main
