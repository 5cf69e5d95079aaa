"""Findings of the OpenI reports, straight from the archive. Texts stay in memory."""

import json
import re
import tarfile
import xml.etree.ElementTree as ET


def read_findings(archive) -> dict[int, str]:
    """uid -> findings (one line, not empty) of every report in the archive."""
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            match = re.search(r"(\d+)\.xml$", member.name)
            if not match:
                continue
            root = ET.fromstring(tar.extractfile(member).read())
            for part in root.iter("AbstractText"):
                text = " ".join((part.text or "").split())
                if part.get("Label") == "FINDINGS" and text:
                    found[int(match[1])] = text
    return found


def validation_findings(archive, split) -> list[tuple[int, str]]:
    """(uid, findings) of the validation reports, in the split's order."""
    with open(split, encoding="utf-8") as file:
        uids = json.load(file)["valid"]
    found = read_findings(archive)
    return [(uid, found[uid]) for uid in uids]
