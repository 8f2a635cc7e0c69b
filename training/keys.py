"""A person's private SSH key, and how a public one is shown."""

from __future__ import annotations

import base64
import functools
import hashlib
import stat
from pathlib import Path

import paramiko

from infra.errors import BadInput

UNLOCK = "Give a key without one: the kit runs unattended."


def fingerprint(key: paramiko.PKey) -> str:
    """As `ssh-keygen -l` writes it: SHA256:..."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def load_key(path: Path) -> paramiko.PKey:
    """The private key in a file, or BadInput in one line. A file that has not changed is read once."""
    where = str(path)
    try:
        status = path.stat()
        key = _parsed(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError as error:
        raise BadInput("no such key file", where=where, do="Check the path.") from error
    except PermissionError as error:
        raise BadInput("the key file can't be read", where=where, do="chmod 600 it, as its owner.") from error
    except paramiko.PasswordRequiredException as error:
        raise BadInput("the key is locked by a passphrase", where=where, do=UNLOCK) from error
    except (paramiko.SSHException, paramiko.UnknownKeyType, ValueError, TypeError, OSError) as error:
        if "password" in str(error) or "encrypted" in str(error):
            raise BadInput("the key is locked by a passphrase", where=where, do=UNLOCK) from error
        do = "Give the private key file, in OpenSSH or PEM form."
        raise BadInput("not a private SSH key", where=where, do=do) from error
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadInput("the key can be read by others", where=where, do=f"chmod 600 {path}")
    return key


@functools.lru_cache(maxsize=16)
def _parsed(path: Path, _changed_ns: int, _size: int) -> paramiko.PKey:
    return paramiko.PKey.from_path(path)
