"""What can be wrong with a row or a file: each with what ms-swift makes of it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from training.findings import Severity


@dataclass(frozen=True)
class Kind:
    """what, fix: of a finding; `{}` in `what` is filled in by the row. lost: ms-swift drops the row and goes on."""

    name: str
    what: str
    fix: str = ""
    severity: Severity = "error"
    lost: bool = False


@dataclass(frozen=True)
class Problem:
    """A kind at a place. field: `messages[2].content`; "" where the whole row is meant."""

    kind: Kind
    field: str = ""
    detail: str = ""


def _lost(name: str, what: str, fix: str) -> Kind:
    return Kind(name, f"{what}: the row is dropped", fix, lost=True)


# A file as a whole
NOT_JSON = Kind("not-json", "not JSON ({}): ms-swift reads nothing of the file", "write one JSON object a line")
TRUNCATED = Kind("truncated", "ends in the middle of a row: the file is cut off", "copy it again, whole")
NOT_ROW = Kind("not-row", "{} where a row should be: the file can't be loaded", "write one JSON object a line")
ENCODING = Kind("encoding", "not UTF-8 ({}): the file can't be loaded", "convert it: iconv -f FROM -t UTF-8")
BINARY = Kind("binary", "binary, no text ({})", "give .jsonl, .json, .csv, .txt or .parquet by its content")
HUGE = Kind("huge-line", "a line of more than {}: no row is that long", "write one JSON object a line")
EMPTY = Kind("empty", "no row is in it", "give a file with rows")
ENDING = Kind("ending", "{} is no kind of file that ms-swift loads", "name it .jsonl, .json, .csv, .txt or .parquet")
NO_READER = Kind("no-reader", "not looked into: {}", "", "note")
LATE = Kind("late-column", "{} is no column of the first 10 MB: the file can't be loaded", "give early rows it, null")
CSV = Kind("csv", "no CSV ({})", "quote texts that hold commas, quotes or line ends")
CLASH = Kind("clash", "{}: ms-swift takes none of them", "rename or remove all but one")
CLASH_BESIDE = Kind("clash-beside", "{} beside {}: the latter alone is used", "remove or rename the others", "warning")
UNKNOWN = Kind("no-format", "columns {} fit no format: every row is dropped", "use messages, or query and response")
NOTHING_LEFT = Kind("nothing-left", "no row of {} is left: training can't begin", "correct the rows above")
FEW = Kind("few", "{}", "more rows, or a smaller batch", "warning")
LONG = Kind("long", "{}", "max_length, truncation_strategy, or shorter rows", "warning")

#: With one of these anywhere in it, ms-swift's loader gives up the file: no row of it is left.
UNLOADABLE = frozenset({NOT_JSON, TRUNCATED, NOT_ROW, ENCODING, LATE, CSV})

# A row in its format
FOREIGN = _lost("foreign", "a {} row in a file of another format", "keep files of different formats apart")
NO_MESSAGES = _lost("no-messages", "messages is {}", "give a list of {role, content}")
NO_TURN = _lost("no-turn", "neither a question nor an answer", "give query and response")
NO_ROLE = _lost("no-role", "no role", "give role (or from): system, user, assistant")
ROLE = _lost("role", "role {} is unknown", "use system, user, assistant, tool_call, tool_response")
CONTENT = _lost("content", "content is {}", "give a text")
PAIR = _lost("pair", "a turn without {}", "give each turn user and assistant (ShareGPT)")
HISTORY = _lost("history", "history is {}", "give [[question, answer], ...]")
QUERY_TEXT = _lost("query", "instruction and input give no text", "give instruction a text")
ANSWERS = _lost("answers", "an empty list of answers", "give a text")
BLOCK = _lost("block", "content holds {}", "use blocks of text, image, video, audio")
OBJECTS = _lost("objects", "{}", "give objects ref and bbox, of 2 or 4 numbers each")
REJECTED_NULL = _lost("rejected-null", "rejected_response is null", "give what is worse, or leave the column out")
REJECTED_SAME = _lost("rejected-same", "rejected is the same as chosen", "give an answer that is worse")
TEXT = Kind("text", "content is {}, no text: it can't be tokenized", "quote it", lost=True)

# A row for its task
NO_ANSWER = Kind(
    "no-answer", "last message is from {}: {} needs an assistant turn", "add the answer, or remove the row"
)
NO_USER = Kind("no-user", "no user turn", "add what is asked")
NO_REJECTED = Kind("no-rejected", "nothing is rejected", "give rejected_response, rejected_messages or rejected_images")
REJECTED = Kind("rejected", "rejected_response is {}, neither text nor messages", "give a text, or messages")
NO_LABEL = Kind("no-label", "no label", "give label {}")
LABEL = Kind("label", "label is {}", "give {}")
MARGIN = Kind("margin", "margin is {}", "give a number")
NO_POSITIVE = Kind("no-positive", "no positive_messages", "give a list of message lists")
POSITIVE = Kind("positive", "{} is no list of message lists", "give [[{role, content}, ...], ...]")
MORE_POSITIVE = Kind("more-positive", "{} positives: only the first is used", "make a row of each", "warning")

# Media and tools
MANY_TAGS = Kind("many-tags", "{}: the processor fails on it", "give as many files as tags")
FEW_TAGS = Kind("few-tags", "{}: the missing tags are put first", "write the tags where they belong", "warning")
NO_MEDIA = Kind("no-media", "{} does not exist here: the row is dropped or replaced", "check the path", lost=True)
MEDIA_TYPE = Kind("media-type", "{} is neither a path nor a list of them", "give a list of paths")
TOOLS = Kind("tools", "tools is no JSON: it is taken as one text", "give a list of functions", "warning")
TOOL_CALL = _lost("tool-call", "a tool_call without name and arguments", 'give {"name": ..., "arguments": {...}}')
TOOL_ORDER = Kind("tool-order", "a tool_response that follows no tool_call", "put the call before it", "warning")
PLACES = Kind("places", "{}", "give as many refs and boxes as placeholders", "warning")
