"""What moto 5.2.5 lacks or gets wrong for a fleet, mended from outside. Each module hooks private parts of moto, so the
version is exact in pyproject.toml and every hook has a contract test: tests/unit/infra/sandbox/test_patches.py, and for
capacity tests/sandbox/test_rehearsal.py."""

from __future__ import annotations

import os

# Unknown images, key pairs and types are refused as AWS does (moto.settings); AWS's managed policies can be attached,
# and the 1,301 outdated images that moto brings stay out, for patches/images.py plants its own (environment).
_STRICT = ("ENABLE_AMI_VALIDATION", "ENABLE_KEYPAIR_VALIDATION", "EC2_ENABLE_INSTANCE_TYPE_VALIDATION")
_ENVIRONMENT = {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}


def install() -> None:
    """Mends moto in this process; the second time is a no-op. Call it before moto serves its first request."""
    os.environ.update(_ENVIRONMENT)
    from moto import settings

    for name in _STRICT:
        if not hasattr(settings, name):
            raise RuntimeError(f"moto.settings has no {name}: is moto the version that pyproject.toml names?")
        setattr(settings, name, True)
    from infra.sandbox.patches import (
        access,
        addresses,
        blocks,
        images,
        instances,
        interfaces,
        kept,
        launch,
        lustre,
        network,
        placement,
        quotas,
        regions,
        reservations,
        sessions,
        spot,
        storage,
        templates,
    )

    for module in (
        instances,
        interfaces,
        launch,
        templates,
        addresses,
        kept,
        placement,
        reservations,
        blocks,
        quotas,
        regions,
        network,
        images,
        storage,
        lustre,
        access,
        sessions,
        spot,
    ):
        if not getattr(module, "_installed", False):
            module.install()
            module._installed = True  # type: ignore[attr-defined]
