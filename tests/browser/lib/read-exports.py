"""Reads exported files with parsers that are not ours, and prints what they found as JSON.

hl7apy checks a message against HL7's own structure of ORU_R01 in 2.5.1; python-hl7 takes the escapes out;
pydicom walks the content tree of a DICOM SR; ElementTree reads the XHTML of FHIR's narratives.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree

import hl7
import pydicom
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import MaxLengthReached
from hl7apy.parser import parse_message

XHTML = "{http://www.w3.org/1999/xhtml}"


def check_hl7(text):
    try:
        parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()
    except MaxLengthReached:
        # hl7apy takes the text of an OBX for an ST of 199 characters, whatever OBX-2 says; a TX has 65,536.
        long = [line for line in text.split("\r") if len(line) > 199 and not line.startswith(("OBX", "NTE"))]
        assert not long
        parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT).validate()


def read_hl7(path):
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    check_hl7(text)
    message = hl7.parse(text)

    def plain(field):
        return message.unescape(str(field)).replace("\r", "\n")

    def single(field):
        """A field that must be one text: no delimiter in it went unescaped."""
        assert len(field) <= 1 and all(isinstance(part, str) for part in field), field
        return plain(field)

    return {
        "segments": [str(segment[0]) for segment in message],
        "msh": [str(field) for field in message.segment("MSH")],
        "pid": [plain(field) for field in message.segment("PID")] if "\rPID|" in text else None,
        "obr": [plain(field) for field in message.segment("OBR")],
        "nte": [single(segment[3]) for segment in message.segments("NTE")],
        "obx": [
            {"code": str(segment[3][0][0]), "type": str(segment[2]), "sub": str(segment[4]), "text": single(segment[5])}
            for segment in message.segments("OBX")
        ],
    }


def read_dicom(path):
    file = pydicom.dcmread(path)
    code = lambda sequence: [sequence[0].CodeValue, sequence[0].CodingSchemeDesignator]
    texts = lambda item: [str(child.TextValue).replace("\r\n", "\n") for child in item.ContentSequence]
    headings = [item for item in file.ContentSequence if item.ValueType == "CONTAINER"]
    words = ["SOPInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber", "SpecificCharacterSet", "ContentDate",
             "TimezoneOffsetFromUTC", "StudyDate", "PreliminaryFlag", "VerificationFlag"]
    return {
        "head": {word: str(file[word].value or "") for word in words} | {"PatientName": str(file.PatientName)},
        "class": file.file_meta.MediaStorageSOPClassUID.name,
        "root": code(file.ConceptNameCodeSequence),
        "sections": [[code(item.ConceptNameCodeSequence), texts(item)] for item in headings],
    }


def read_narrative(div):
    """A line for each paragraph, item and break."""
    root = ElementTree.fromstring(div)
    lines = []
    for element in root.iter():
        if element.tag in (XHTML + "p", XHTML + "li", XHTML + "h3"):
            parts = [element.text or ""]
            for child in element:
                assert child.tag == XHTML + "br", child.tag
                parts.append(child.tail or "")
            lines.append("\n".join(parts))
    return lines


def read_fhir(path):
    with open(path, encoding="utf-8") as file:
        bundle = json.load(file)
    resources = [entry["resource"] for entry in bundle["entry"]]
    texts = [resource["text"]["div"] for resource in resources if "text" in resource]
    sections = [section["text"]["div"] for section in resources[0]["section"]]
    return {"narratives": [read_narrative(div) for div in texts], "sections": [read_narrative(div) for div in sections]}


READERS = {"hl7": read_hl7, "dcm": read_dicom, "json": read_fhir}

for path in sys.argv[1:]:
    print(json.dumps(READERS[path.rsplit(".", 1)[1]](path)))
