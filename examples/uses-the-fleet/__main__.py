"""Reads the nodes of a fleet that is up, by a stack reference, for whatever should know of them: here Prometheus.

cd examples/uses-the-fleet && pulumi stack init dev && pulumi up
pulumi stack output targets --json > /etc/prometheus/fleet.json
"""

import pulumi

stack = pulumi.Config().require("fleet")
fleet = pulumi.StackReference(f"{pulumi.get_organization()}/swift-fleet/{stack}")


def targets(nodes):
    """One target a rank, as Prometheus' file_sd takes them (DCGM's exporter listens on 9400)."""
    return [
        {
            "targets": [f"{node['privateAddress']}:9400"],
            "labels": {"fleet": stack, "rank": f"{node['rank']:.0f}", "instance_type": node["instanceType"]},
        }
        for node in nodes or []
    ]


pulumi.export("targets", fleet.get_output("nodes").apply(targets))
pulumi.export("ends", fleet.get_output("terminatesAt"))
