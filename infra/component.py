"""A whole fleet as one component, for other programs in any Pulumi language (`components/`, docs/component.md).

No `from __future__ import annotations` here: the SDK's host reads the types themselves.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi.runtime import config as engine_config

from infra.cloud import cloud_of, refuse_long_tries
from infra.errors import FleetError
from infra.program import fleet, told, within_means
from infra.schema import pulumi_type
from infra.settings import PREFIX, StackConfig, from_pulumi
from infra.site import survey

#: A mapping in a stack file is one of names to lists: `candidates`, `s3`.
_TYPES: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "object": dict[str, list[str]],
}


def _args() -> dict[str, Any]:
    """The keys of a stack file, each plain: what a fleet is made of is known in preview."""
    found: dict[str, Any] = {"public_key": str}
    for name, field in StackConfig.model_fields.items():
        kind = _TYPES[pulumi_type(str(field.alias))]
        found[name] = kind if field.is_required() else NotRequired[kind]
    return found


#: public_key: whom the nodes let in, "ssh-ed25519 AAAA..."; the rest as in docs/stack.md.
FleetArgs: Any = TypedDict("FleetArgs", _args())  # type: ignore[misc]


class Fleet(pulumi.ComponentResource):
    """EC2 GPU machines that end themselves: all that a stack of swift-fleet makes, under the component's name.

    One a program. Region and credentials are the program's own `aws:` configuration. `inventory` is what a stack
    exports as `nodes`, which is a number here.
    """

    vpc_id: pulumi.Output[str]
    terminates_at: pulumi.Output[str]
    shared_path: pulumi.Output[str]
    inventory: pulumi.Output[Any]

    def __init__(self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("swift-fleet:index:Fleet", name, {}, opts)
        asked = {f"{PREFIX}{StackConfig.model_fields[key].alias}": args[key] for key in args if key != "public_key"}
        source = f"swift-fleet:index:Fleet {name}"
        try:
            config, cloud = from_pulumi(asked, source), cloud_of(engine_config.CONFIG.get(), source)
            refuse_long_tries(engine_config.CONFIG.get(), source)
            site = survey(cloud, config, name)
            config = within_means(config, site, cloud)
        except FleetError as error:
            raise pulumi.RunError(str(error)) from error
        made = fleet(
            args["public_key"],
            name,
            config,
            site,
            pulumi.ResourceOptions(parent=self),
            near=lambda ids: told(cloud, ids),
        )
        self.vpc_id, self.inventory = made["vpcId"], pulumi.Output.from_input(made["nodes"])
        self.terminates_at, self.shared_path = made["terminatesAt"], pulumi.Output.from_input(made["sharedPath"])
        self.register_outputs({"inventory": self.inventory, "terminatesAt": self.terminates_at})


# Made from the model, and so no type that an annotation could name.
Fleet.__init__.__annotations__["args"] = FleetArgs
