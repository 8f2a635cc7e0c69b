"""How often the published provider tries one call: `maxRetries` times (25 unless set), whatever a resource's timeouts
say. Out of capacity is among what it tries again since v6, so that 25 tries take it about 50 minutes.

The number of tries is kept here, the pauses are not: theirs double up to 300 s, these end at a tenth of a second.
https://github.com/hashicorp/terraform-provider-aws/issues/43193
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ConnectionError, HTTPClientError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.1
# By code, where the HTTP status (500 and above) does not say it already.
AGAIN = {
    "InsufficientInstanceCapacity",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
}


class Retries:
    """Answers botocore's needs-retry event: a pause in seconds, or None for no more."""

    def __init__(self, tries: int) -> None:
        self._tries = tries

    def install(self, client: Any) -> None:
        client.meta.events.register("needs-retry", self.decide, unique_id="sandbox-provider")

    def decide(self, response: Any, attempts: int, caught_exception: Exception | None, **event: Any) -> float | None:
        """`attempts`: how often it was tried so far."""
        if attempts >= self._tries:
            return None
        if caught_exception is not None:
            return _pause(attempts) if isinstance(caught_exception, ConnectionError | HTTPClientError) else None
        http, parsed = response
        code = (parsed.get("Error") or {}).get("Code", "")
        return _pause(attempts) if http.status_code >= 500 or code in AGAIN else None


def _pause(attempts: int) -> float:
    return min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S)
