"""Read a case message the way the instructions tell the model to read it."""

import json
import re
from typing import Any


def read_blocks(content: str) -> list[tuple[str, str, Any]]:
    """Source, trust and value of every block, by the mark of the first line; nothing may stand outside of them."""
    first, *lines = content.split("\n")
    mark = first.removeprefix("The mark of this case is ").removesuffix(".")
    begin = re.compile(f'<data mark="{re.escape(mark)}" source="([a-z]+)" trust="([a-z]+)">')
    blocks = []
    while found := begin.fullmatch(lines[0]):
        assert lines[2] == f'</data mark="{mark}">'
        blocks.append((found[1], found[2], json.loads(lines[1])))
        lines = lines[3:]
    assert lines == ["Give your opinion of this case."]
    return blocks
