"""Regions that an account must enable first: moto lists them with the others and serves them all.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
"""

from __future__ import annotations

from moto.core.responses import ActionResult
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.responses.availability_zones_and_regions import AvailabilityZonesAndRegions

from infra.sandbox.patches.hook import replace

#: They know no credentials of this account.
NOT_ENABLED = {one.name for one in RegionsAndZonesBackend.regions if one.opt_in_status == "not-opted-in"}


def install() -> None:
    replace(AvailabilityZonesAndRegions, "describe_regions", describe_regions)


def describe_regions(self: AvailabilityZonesAndRegions) -> ActionResult:
    """Those that are enabled, and with AllRegions all of them."""
    self.error_on_dryrun()
    found = self.ec2_backend.describe_regions(self._get_param("RegionNames", []))
    every = self._get_bool_param("AllRegions", False)
    return ActionResult({"Regions": [one for one in found if every or one.name not in NOT_ENABLED]})
