"""A stand-in for the published Pulumi AWS provider, for the embedded cloud only.

It speaks Pulumi's provider protocol and refuses any endpoint that is not on loopback. What it imitates is
pulumi-aws 7.x over terraform-provider-aws 6.x: names, defaults, replacement, waits and AWS's own errors.

    server      the protocol: one method a verb
    check diff  what was written -> inputs, what changed; pure functions of a type's schema
    resources   one class a type: schema, create, read, update, delete
    invokes     look-ups (caller identity, zones, parameters, images, policy documents)
    session     AWS clients from the provider's settings
"""
