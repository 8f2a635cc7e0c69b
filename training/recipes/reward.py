"""A reward of one's own for recipe grpo-reward: short answers are worth more."""

from swift.rewards import ORM, orms

LONG = 2000  # characters that are worth nothing


class Brevity(ORM):
    def __call__(self, completions: list[str], **columns: object) -> list[float]:
        """A reward between 0 and 1 a completion; the data's columns come by name, a list each."""
        return [max(0.0, 1 - len(one) / LONG) for one in completions]


orms["brevity"] = Brevity
