"""What plain `pulumi up` runs (`main: infra` in Pulumi.yaml)."""

import sys
from pathlib import Path

# Not resolved: the folder of Pulumi.yaml is the project, though `infra` there may be a link.
ROOT = Path(__file__).absolute().parent.parent
sys.path.insert(0, str(ROOT))

from infra.program import program  # noqa: E402

program(ROOT)
