"""Prices asked of a cloud, and what is refused for money's sake, through the commands as typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from project import Project, eventually

from infra import prices
from infra.catalog import catalog


@pytest.fixture(scope="module")
def quiet(project: Project) -> Project:
    project.fleet("sandbox", "start").ok()
    return project


@pytest.fixture(autouse=True)
def asked_anew(quiet: Project) -> Iterator[None]:
    """Every test asks for itself, and leaves no fault and no other stack behind."""
    prices._known.clear()
    yield
    quiet.control("faults", [])
    quiet.stack()


def denied(project: Project, action: str) -> None:
    message = "User is not authorized to perform it"
    project.control("faults", [{"action": action, "code": "AccessDeniedException", "message": message}])


# The price list ------------------------------------------------------------------------------------------------------


def test_the_price_list_is_asked_once_in_five_calls_and_says_its_day(quiet: Project) -> None:
    before = len(quiet.calls())
    first, second = (prices.rates(quiet.cloud(), "p5.48xlarge") for _ in range(2))
    assert (first.instance.usd, first.instance.source) == (55.04, "AWS Price List, us-east-1")
    assert (first.volume.usd, first.address.usd, first.gateway.usd) == (0.08, 0.005, 0.045)
    assert (first.files_stored.usd, first.files_read.usd, first.files_written.usd) == (0.30, 0.03, 0.06)
    assert first.instance.as_of == catalog().price_date
    assert second == first and first.note == ""
    assert [call["action"] for call in quiet.calls()[before:]] == ["GetProducts"] * 5


def test_a_spot_price_is_the_dearest_of_the_zone_or_of_all_zones(quiet: Project) -> None:
    list_price = 55.04
    zone = prices.rates(quiet.cloud(), "p5.48xlarge", "spot", "us-east-1a").instance
    assert zone.usd == pytest.approx(list_price * 0.40 * 1.10)
    assert zone.source == "spot price history, dearest of 24 h in us-east-1a"
    anywhere = prices.rates(quiet.cloud(), "p5.48xlarge", "spot").instance
    assert anywhere.usd is not None and anywhere.usd > zone.usd
    unknown = prices.rates(quiet.cloud(), "p5e.48xlarge", "spot").instance
    assert (unknown.usd, unknown.unknown) == (None, "AWS tells no spot price of p5e.48xlarge in us-east-1")


def test_another_region_has_no_price_rather_than_this_ones(quiet: Project) -> None:
    rates = prices.rates(quiet.cloud().elsewhere("eu-west-1", 1), "g6.xlarge")
    assert (rates.instance.usd, rates.instance.unknown) == (None, "AWS lists no price of g6.xlarge in eu-west-1")


@pytest.mark.parametrize(
    ("purchase", "usd"),
    [("on-demand", 0.8048), ("spot", 0.8048)],
)
def test_where_the_list_is_denied_the_table_that_ships_serves_and_says_why(
    quiet: Project, purchase: prices.Purchase, usd: float
) -> None:
    denied(quiet, "GetProducts")
    rates = prices.rates(quiet.cloud(), "g6.xlarge", purchase)
    assert rates.instance.usd == usd
    assert rates.note == "GetProducts is not allowed (AccessDeniedException)"


def test_a_cloud_that_is_not_there_is_given_up_and_the_table_serves(quiet: Project) -> None:
    nowhere = replace(
        quiet.cloud(), endpoints={"pricing": "http://127.0.0.1:9", "ec2": "http://127.0.0.1:9"}, _clients={}
    )
    rates = prices.rates(nowhere, "g6.xlarge")
    assert rates.instance.usd == 0.8048
    assert "127.0.0.1:9" in rates.note


def test_a_sandbox_that_serves_no_price_list_never_sends_one_to_aws(quiet: Project) -> None:
    old = replace(quiet.cloud(), endpoints={"ec2": quiet.cloud().endpoints["ec2"]}, _clients={})
    assert prices.rates(old, "g6.xlarge").note == "aws:endpoints names no pricing"


# A budget ------------------------------------------------------------------------------------------------------------

REFUSED = {
    "swift-fleet:budget": ("0.10", r"swift-fleet:budget  $0.10 is below one boot: 2 x m7i.xlarge cost $0.45 an hour"),
    "swift-fleet:maxUsdPerHour": ("0.40", "swift-fleet:maxUsdPerHour  it costs $0.45 an hour, more than $0.40."),
}


@pytest.mark.parametrize("key", REFUSED)
def test_money_that_does_not_do_is_refused_alike_by_every_command(quiet: Project, tiny: Path, key: str) -> None:
    value, said = REFUSED[key]
    quiet.stack(change={key: value})
    job = quiet.job(tiny)
    for words in (["plan", job], ["run", job, "--yes"], ["up", "--yes"]):
        done = quiet.fleet(*words, "-s", "sandbox")
        assert (done.code, done.err.count("\n")) == (2, 1), done.all
        assert said in done.err
    told = quiet.fleet("cost", "-s", "sandbox")  # what it would cost is what one wants to know then
    assert (told.code, f"refused     {said}" in told.out) == (2, True)
    assert quiet.left() == []


def test_plain_pulumi_refuses_a_budget_below_one_boot_in_its_preview(quiet: Project) -> None:
    value, said = REFUSED["swift-fleet:budget"]
    quiet.pulumi("stack", "init", "sandbox").ok()
    quiet.stack(change={"swift-fleet:budget": value})
    done = quiet.pulumi("preview", "-s", "sandbox", "--non-interactive")
    assert done.code != 0
    assert said in done.all
    assert "Traceback" not in done.all


def test_a_plan_shows_what_a_budget_buys(quiet: Project, tiny: Path) -> None:
    quiet.stack(change={"swift-fleet:budget": "0.45"})
    done = quiet.fleet("plan", quiet.job(tiny), "-s", "sandbox").ok()
    assert "AWS Price List, us-east-1, 2026-07-20" in done.out and "as shipped" not in done.out
    assert "lifetime 2 h 00 min · budget $0.45 (ends it after 55 min 00 s) · maxUsdPerHour off" in done.out
    job = quiet.job(tiny)
    job.write_text(f"{job.read_text()}budget: 0.40\n")
    told = quiet.fleet("plan", job, "-s", "sandbox", "--json").ok().json
    assert told["usd_at_most"] <= told["budget_usd"] == 0.40
    assert sum(told["usd_per_hour_by_part"].values()) == pytest.approx(told["usd_per_hour"])


def test_a_plan_shows_the_quota_that_an_up_would_be_refused_for(quiet: Project, tiny: Path) -> None:
    quiet.fleet("sandbox", "fault", "quota", "L-1216C47A", "2").ok()
    said = quiet.fleet("plan", quiet.job(tiny), "-s", "sandbox").ok().out
    assert "(L-1216C47A) is 2 vCPUs, 0 in use, 8 needed: fleet up would be refused" in said
    quiet.control("quotas", {})


# What bills -----------------------------------------------------------------------------------------------------------


def test_a_cost_needs_no_fleet_and_says_that_none_is_up(quiet: Project) -> None:
    quiet.stack(change={"swift-fleet:budget": "0.45"})
    told = quiet.fleet("cost", "-s", "sandbox", "--json").ok().json
    assert told["parts"] == pytest.approx({"instances": 0.4032, "EBS": 0.0438}, abs=1e-4)
    assert (told["lifetime"], told["up"], told["up_unknown"]) == (55 * 60, None, "")
    assert told["usd_at_most"] == pytest.approx(told["usd_per_hour"] * 60 / 60)
    out = quiet.fleet("cost", "-s", "sandbox").ok().out
    assert out.startswith("stack sandbox: 2 x m7i.xlarge, on-demand\n")
    assert "not up: nothing bills by the hour" in out


@pytest.fixture(scope="module")
def strangers(quiet: Project) -> dict[str, str]:
    """Things in the account that are no stack's, one of them in another region."""
    ec2, there = quiet.cloud().client("ec2"), quiet.cloud().elsewhere("us-west-2", 1).client("ec2")
    ours = [{"ResourceType": "volume", "Tags": [{"Key": "swift-fleet:stack", "Value": "sandbox"}]}]
    reserved = ec2.create_capacity_reservation(
        InstanceType="g6.xlarge", InstancePlatform="Linux/UNIX", AvailabilityZone="us-east-1a", InstanceCount=2
    )
    return {
        "disk": ec2.create_volume(AvailabilityZone="us-east-1a", Size=73, VolumeType="gp3")["VolumeId"],
        "ours": ec2.create_volume(AvailabilityZone="us-east-1a", Size=730, VolumeType="gp3", TagSpecifications=ours)[
            "VolumeId"
        ],
        "address": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "reservation": reserved["CapacityReservation"]["CapacityReservationId"],
        "balancer": _load_balancer(quiet),
        "far": there.create_volume(AvailabilityZone="us-west-2a", Size=73, VolumeType="gp3")["VolumeId"],
    }


def _load_balancer(project: Project) -> str:
    subnets = project.cloud().client("ec2").describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    ids = [one["SubnetId"] for one in subnets["Subnets"]][:2]
    project.cloud().client("elbv2").create_load_balancer(Name="web", Subnets=ids)
    return "web"


def prices_of(done_json: dict) -> dict[str, float | None]:
    return {row["id"]: row["usd_per_hour"] for row in done_json["bills"]}


def test_everything_that_bills_is_listed_with_whose_it_is_and_its_price(
    quiet: Project, strangers: dict[str, str]
) -> None:
    where = ["--region", "us-east-1", "--region", "us-west-2"]
    told = quiet.fleet("ps", "--all", *where, "--json").ok().json
    snapshots = [row for row in told["bills"] if row["kind"] == "snapshots"]  # of the images that moto brings along
    assert [(row["region"], row["usd_per_hour"]) for row in snapshots] == [("us-east-1", None), ("us-west-2", None)]
    assert prices_of({"bills": [row for row in told["bills"] if row not in snapshots]}) == {
        strangers["reservation"]: pytest.approx(2 * 0.8048),
        strangers["ours"]: pytest.approx(0.08),
        strangers["disk"]: pytest.approx(0.008),
        strangers["address"]: pytest.approx(0.005),
        strangers["far"]: None,
        strangers["balancer"]: None,
    }
    rows = {row["id"]: row for row in told["bills"]}
    assert (rows[strangers["ours"]]["stack"], rows[strangers["disk"]]["stack"]) == ("sandbox", None)
    assert rows[strangers["far"]]["unknown"] == "AWS lists no price of EBS gp3 in us-west-2"
    assert (told["regions"], told["unasked"]) == (["us-east-1", "us-west-2"], [])
    text = quiet.fleet("ps", "--all", *where).ok().out
    assert "$1.7026 an hour for 4, and 4 whose price is UNKNOWN" in text


def test_without_all_only_what_this_clones_stacks_have(quiet: Project, strangers: dict[str, str]) -> None:
    told = quiet.fleet("ps", "--json").ok().json
    assert list(prices_of(told)) == [strangers["ours"]]
    assert told["regions"] == ["us-east-1"]


def test_what_bills_though_no_node_is_up_is_named_by_every_command_that_looks(quiet: Project) -> None:
    """As an `up` leaves it that is killed just after its reservation: 2 x p5.48xlarge, which nobody uses."""
    ec2, stack = quiet.cloud().client("ec2"), [{"Key": "swift-fleet:stack", "Value": "sandbox"}]
    made = ec2.create_capacity_reservation(
        InstanceType="p5.48xlarge",
        InstancePlatform="Linux/UNIX",
        AvailabilityZone="us-east-1a",
        InstanceCount=2,
        TagSpecifications=[{"ResourceType": "capacity-reservation", "Tags": stack}],
    )["CapacityReservation"]["CapacityReservationId"]
    bills = f"reservation {made}: 2 of 2 x p5.48xlarge unused, $110.08 an hour"
    try:
        status = quiet.fleet("status", "-s", "sandbox", "--json").ok().json
        assert (status["nodes"], status["left"][0], status["unknown"]) == ([], bills, [])
        assert status["usd_per_hour"] >= 110.08
        said = quiet.fleet("status", "-s", "sandbox").ok().out
        assert "no node is up, $110." in said and "fleet down -s sandbox ends it" in said
        assert f"not up, and yet {bills}" in quiet.fleet("cost", "-s", "sandbox").ok().out
        assert f"  bills: {bills}" in quiet.fleet("sweep", "-s", "sandbox").ok().out
    finally:
        ec2.cancel_capacity_reservation(CapacityReservationId=made)


def test_every_region_that_the_account_has_is_asked(quiet: Project, strangers: dict[str, str]) -> None:
    told = quiet.fleet("ps", "--all", "--json").ok().json
    enabled = quiet.cloud().client("ec2").describe_regions()["Regions"]
    assert len(enabled) > 10
    assert told["regions"] == sorted(one["RegionName"] for one in enabled)
    assert set(prices_of(told)) >= set(strangers.values())


def test_what_could_not_be_asked_is_told_and_fails(quiet: Project, strangers: dict[str, str]) -> None:
    denied(quiet, "DescribeVolumes")
    done = quiet.fleet("ps", "--all", "--region", "us-east-1")
    assert done.code == 4
    assert "NOT ASKED   us-east-1: ec2 DescribeVolumes is not allowed (AccessDeniedException)" in done.err
    assert strangers["address"] in done.out and strangers["disk"] not in done.out


def test_an_account_whose_regions_can_not_be_asked_is_no_empty_one(quiet: Project) -> None:
    denied(quiet, "DescribeRegions")
    done = quiet.fleet("ps", "--all")
    assert (done.code, done.out.strip()) == (4, "")
    assert "NOT ASKED   account of stack sandbox: DescribeRegions is not allowed (AccessDeniedException)" in done.err


def test_a_region_that_is_none_is_answered_with_the_nearest(quiet: Project) -> None:
    done = quiet.fleet("ps", "--region", "us-east-11")
    assert (done.code, done.err.strip()) == (2, "us-east-11 is no region. Did you mean us-east-1?")


# A fleet that is up ---------------------------------------------------------------------------------------------------


def test_a_place_that_is_too_dear_is_left_out_of_the_walk_and_the_others_are_tried(quiet: Project) -> None:
    others = {"instanceTypes": ["m7i.xlarge"], "zones": ["us-east-1a", "us-east-1b"]}
    wanted = {"swift-fleet:instanceType": "m7i.large", "swift-fleet:candidates": others}
    quiet.stack(change={"swift-fleet:maxUsdPerHour": "0.40"} | wanted)  # two m7i.xlarge cost $0.45
    refusal = {"action": "CreateCapacityReservation", "code": "InsufficientInstanceCapacity", "status": 500}
    quiet.control("faults", [refusal])
    done = quiet.fleet("up", "-s", "sandbox", "-y")
    assert done.code == 4 and "m7i.xlarge" not in done.all
    for zone in ("us-east-1a", "us-east-1b"):
        assert f"m7i.large in {zone}: no room for all nodes (InsufficientInstanceCapacity)" in done.err
    assert quiet.left() == []


def test_a_fleet_that_found_room_as_a_dearer_type_ends_by_its_budget_at_that_types_price(quiet: Project) -> None:
    others = {"instanceTypes": ["m7i.xlarge"], "zones": ["us-east-1a"]}
    wanted = {"swift-fleet:instanceType": "m7i.large", "swift-fleet:candidates": others}
    quiet.stack(change={"swift-fleet:budget": "0.45"} | wanted)
    code = "InsufficientInstanceCapacity"
    no_room = {"action": "CreateCapacityReservation", "code": code, "match": {"InstanceType": "m7i.large"}}
    quiet.control("faults", [no_room | {"status": 500}])
    assert "2 nodes up, $0.4470 an hour; each ends itself 55 min" in quiet.fleet("up", "-s", "sandbox", "-y").ok().out
    try:
        up = quiet.fleet("cost", "-s", "sandbox", "--json").ok().json["up"]
        assert (up["nodes"], up["unknown"]) == (2, "")
        assert 0 < up["usd_so_far"] < up["usd_at_most"] <= 0.45
        more_is_refused_before_anything_is_done(quiet)
        told = quiet.fleet("ps", "--json").ok().json
        machines = [row for row in told["bills"] if row["kind"] == "instance"]
        assert [(row["stack"], row["usd_per_hour"]) for row in machines] == [("sandbox", 0.2016)] * 2
        assert {row["kind"] for row in told["bills"]} == {"instance", "volume", "file system"}
        quiet.control("clock", {"advance": 61 * 60})
        eventually(lambda: "no node is up" in quiet.fleet("status", "-s", "sandbox").ok().out)
    finally:
        quiet.fleet("down", "-s", "sandbox").ok()


def more_is_refused_before_anything_is_done(project: Project) -> None:
    """Of a fleet whose two nodes take all of its budget; then, with a larger one, what more costs, before it asks."""
    file = project.root / "stacks" / "Pulumi.sandbox.yaml"
    before = file.read_text()
    refused = project.fleet("resize", "3", "-s", "sandbox", "--yes")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.all
    assert refused.err.startswith("swift-fleet:budget  with 3 nodes it would cost up to $0.6")
    assert file.read_text() == before
    file.write_text(before.replace("swift-fleet:nodes: '2'", "swift-fleet:nodes: '3'").replace('"2"', '"3"'))
    assert file.read_text() != before
    plain = project.fleet("up", "-s", "sandbox", "--yes")
    assert (plain.code, "with 3 nodes it would cost up to $0.6" in plain.err) == (2, True), plain.all
    assert len(project.fleet("status", "-s", "sandbox", "--json").ok().json["nodes"]) == 2
    file.write_text(before.replace("0.45", "9"))
    asked = project.fleet("resize", "3", "-s", "sandbox", say="n\n")
    assert "2 -> 3 nodes, $0.45 -> $0.67 an hour, up to $" in asked.out and asked.code != 0
    file.write_text(before)
