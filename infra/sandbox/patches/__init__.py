"""What moto 5.2.5 lacks or gets wrong for a fleet, mended from outside. Each module hooks private parts of moto, so the
version is exact in pyproject.toml and every hook has a contract test in tests/unit/infra/sandbox/test_patches.py."""

from __future__ import annotations

import os

# Read by moto when it is first imported: unknown images, key pairs and types are refused as AWS does, AWS's managed
# policies can be attached, and the 1,301 outdated images that moto brings stay out (patches/images.py plants its own).
_MOTO_SETTINGS = {
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


def install() -> None:
    """Mends moto in this process; the second time is a no-op. Call it before anything else imports moto."""
    os.environ.update(_MOTO_SETTINGS)
    from infra.sandbox.patches import capacity, images, instances, launch, network, storage

    for module in (instances, launch, capacity, network, images, storage):
        if not getattr(module, "_installed", False):
            module.install()
            module._installed = True  # type: ignore[attr-defined]
