"""What plain `pulumi up` runs (`main: infra` in Pulumi.yaml)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infra.program import program  # noqa: E402

program(ROOT)
