"""Key pairs."""

from __future__ import annotations

from typing import Any

from infra.sandbox.provider import tags
from infra.sandbox.provider.resources.base import Resource
from infra.sandbox.provider.schema import Autoname, ResourceType, text
from infra.sandbox.provider.session import Aws
from infra.sandbox.provider.values import Props
from infra.sandbox.provider.waits import Deadline, or_none, tolerating


def _same_key(one: Any, other: Any) -> bool:
    return str(one).strip() == str(other).strip()


class KeyPair(Resource):
    type = ResourceType(
        token="aws:ec2/keyPair:KeyPair",
        inputs={
            # Never read back: after an import the first update shows a replacement (ec2_key_pair.go).
            "publicKey": text(required=True, force_new=True, read_back=False, same=_same_key),
            "keyName": text(computed=True, force_new=True, conflicts=("keyNamePrefix",), length=(0, 255)),
            "keyNamePrefix": text(
                computed=True, force_new=True, read_back=False, conflicts=("keyName",), length=(0, 229)
            ),
        },
        outputs=("arn", "fingerprint", "keyPairId", "keyType"),
        autoname=Autoname("keyName"),
        tagged=True,
    )

    def create(self, aws: Aws, inputs: Props, deadline: Deadline) -> str:
        made = self.client(aws, inputs).import_key_pair(
            KeyName=inputs["keyName"],
            PublicKeyMaterial=inputs["publicKey"].strip().encode(),
            TagSpecifications=tags.specification("key-pair", inputs["tagsAll"]),
        )
        return str(made["KeyName"])

    def read(self, aws: Aws, id: str, known: Props) -> Props | None:
        ec2 = self.client(aws, known)
        answer = or_none(lambda: ec2.describe_key_pairs(KeyNames=[id]), "InvalidKeyPair.NotFound")
        pairs = (answer or {}).get("KeyPairs", [])
        if not pairs:
            return None
        return {
            "arn": aws.arn("ec2", f"key-pair/{id}", known.get("region", "")),
            "keyName": pairs[0]["KeyName"],
            "keyPairId": pairs[0]["KeyPairId"],
            "keyType": pairs[0].get("KeyType", ""),
            "fingerprint": pairs[0].get("KeyFingerprint", ""),
            "tagsAll": tags.from_aws(pairs[0].get("Tags")),
        }

    def delete(self, aws: Aws, id: str, state: Props, deadline: Deadline) -> None:
        with tolerating("InvalidKeyPair.NotFound"):
            self.client(aws, state).delete_key_pair(KeyName=id)

    def tagged_id(self, id: str, state: Props) -> str:
        return str(state["keyPairId"])
