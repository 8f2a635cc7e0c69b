"""The files behind EFS and FSx: one folder a file system, shared by every host that mounts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra.sandbox.patches import lustre, storage


class SharedFolders:
    def __init__(self, root: Path, remove: Callable[[Path], None]) -> None:
        self.root, self._remove = root, remove

    def folder(self, share: storage.Share) -> Path:
        """The folder that a mount shows; MountRefused if it does not exist and may not be made."""
        base = self.root / share.file_system
        base.mkdir(parents=True, exist_ok=True)
        folder = base / share.path.strip("/")
        if not folder.resolve().is_relative_to(base.resolve()):
            raise storage.MountRefused(f"mount.nfs4: access denied by server for {share.path}.")
        if share.create:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise storage.MountRefused(
                f"mount.nfs4: mounting {share.file_system}:{share.path} failed, no such directory."
            )
        return folder

    def drop_deleted(self) -> None:
        if not self.root.exists():
            return
        alive = storage.file_systems() | lustre.file_systems()
        for folder in self.root.iterdir():
            if folder.name not in alive:
                self._remove(folder)
