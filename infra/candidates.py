"""What machines a fleet may be made of, and where, as a stack file names them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from infra.catalog import catalog
from infra.written import nearest


def _known_type(value: str) -> str:
    types = catalog().types
    if value not in types:
        guess = nearest(value, types)
        raise ValueError(f"is no instance type of the catalog{f'. Did you mean {guess}?' if guess else ''}")
    return value


class _InCatalog:
    """To an editor, which can't ask: the names themselves."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "enum": list(catalog().types)}


InstanceTypeName = Annotated[str, AfterValidator(_known_type), _InCatalog()]


class Candidates(BaseModel):
    """Where else the whole fleet may go when AWS has no room: types x zones, cheapest first.

    instance_types: beside `instanceType`, with as many GPUs a node. zones: none means each that offers the type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    instance_types: tuple[InstanceTypeName, ...] = ()
    zones: tuple[str, ...] = ()
