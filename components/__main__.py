"""What the engine starts as the plugin `swift-fleet` when a program asks for `swift-fleet:index:Fleet`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi.provider.experimental import component_provider_host  # noqa: E402

from infra.component import Fleet  # noqa: E402

if __name__ == "__main__":
    component_provider_host(name="swift-fleet", components=[Fleet])
