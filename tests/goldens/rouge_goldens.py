"""rouge.json: what rouge_score says of texts written for this test, and NLTK's Porter stems.

    pip install rouge-score==0.1.2 nltk==3.10.4
    python tests/goldens/rouge_goldens.py            # writes tests/goldens/rouge.json

No report text is in it: the texts are made up here, by hand or at random. The stemmed words are the words
of this project's own pages and of the texts here, with suffixes of English put behind their beginnings.
"""

import json
import pathlib
import random
import re

from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

BY_HAND = [
    ("No acute disease.", "No acute disease."),
    ("No acute cardiopulmonary disease.", "There is no evidence of acute disease in the chest."),
    ("", ""),
    ("", "Nothing was asked."),
    ("Nothing was written.", ""),
    ("...", "!?"),
    ("\n\n", "\n"),
    ("one", "one one one one"),
    ("one one one one", "one"),
    ("a b", "b a"),
    ("1. Stable 4 mm nodule. 2. COPD.", "Stable 4mm nodule; COPD"),
    ("1.5 x 2.5 cm opacity, T1/T2", "1 5 x 2 5 cm opacities t1 t2"),
    ("Small effusion.\nNo pneumothorax.\nHeart is enlarged.", "Heart is enlarged.\nNo pneumothorax or effusion."),
    ("Small effusion.\n\n \n.\nNo pneumothorax.", "No effusion.\nSmall pneumothorax.\n"),
    ("the cat sat on the mat\nthe dog sat on the log", "the dog and the cat\nsat on the mat the log"),
    ("w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"),  # Lin 2004, section 3.2
    ("police killed the gunman\nthe gunman was killed", "the gunman police killed\nkilled the gunman"),
    ("Überlappung der Lungenfelder, Größe normal", "überlappung DER lungenfelder; grösse Normal"),
    ("naïve café résumé", "naive cafe resume"),
    ("İstanbul KELVIN \u212A ſharp ß", "istanbul kelvin k sharp ss"),
    ("心臓は正常です。no change", "心臓は拡大。No Change"),
    ("α-fetoprotein µg Ω", "fetoprotein g"),
    ("under_score hyphen-ated apostrophe's", "under score hyphen ated apostrophe s"),
    ("tabs\tand\r\nreturns\x0bhere", "tabs and\nreturns here"),
    ("effusions opacities masses", "effusion opacity mass"),
    ("improving improved improvement improves", "improve improve improve improve"),
    ("dies died dying die", "die die die die"),
    ("stable stably stability stabilize", "stabl stabl stabil stabil"),
    ("normally formally radiologically", "normal formal radiology"),
    ("skies news innings proceed", "sky new inning proceeds"),
    ("ties lies pies", "tie lie pie"),
    ("being seeing agreed feed", "be see agree fed"),
    ("XXXX XXXX XXXX", "xxxx"),
    ("No acute\u2028disease\u00a0today", "no acute disease today"),
    ("a" * 300 + "ing", "a" * 300),
    ("yyyyyyyy syzygies", "yyyyyyying syzygy"),
]

VOCABULARY = """the a of in is are no right left lower upper lobe lung base basilar effusion effusions opacity
opacities opacification consolidation consolidated atelectasis atelectatic pneumothorax pneumothoraces nodule
nodular calcified calcification granuloma granulomatous cardiomegaly enlarged enlargement heart size normal
normally stable stability unchanged changes interval improved improving improvement worsening worse small
moderate moderately large bilateral bilaterally pleural thickening degenerative disease diseases acute
chronically chronic findings finding suggesting suggestive consistent fracture fractures healed healing tube
catheter tip overlying vascular congestion congested edema edematous interstitial airspace process processes
hyperinflation hyperinflated emphysematous emphysema spine thoracic scoliosis 1 2 3 4mm 12 5 cm xxxx""".split()

SUFFIXES = """s es ed ing ly y ies ied er ational tional enci anci izer izing bli abli alli entli eli ousli ization
ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance
ence ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e le ll lling tted eed sses ss""".split()


def texts():
    yield from BY_HAND
    random.seed(20040725)
    for number in range(90):
        lines = lambda: "\n".join(
            " ".join(random.choices(VOCABULARY, k=random.randint(0, 9))) + random.choice([".", "", ";"])
            for _ in range(random.randint(1, 4))
        )
        reference = lines()
        candidate = lines()
        if number % 3 == 0:  # a shuffled and shortened copy: long common subsequences
            words = reference.split(" ")
            for _ in range(random.randint(0, 4)):
                words.pop(random.randrange(len(words))) if len(words) > 1 else None
            candidate = " ".join(words)
        yield reference, candidate


def words():
    # Pages change; once made, the list stays.
    if (HERE / "rouge.json").exists():
        return [re.split("[ /]", packed)[0] for packed in json.load(open(HERE / "rouge.json"))["stems"]]
    found = set(VOCABULARY)
    for page in sorted(ROOT.glob("*.md")) + [HERE / "README.md", ROOT / "shaders/README.md"]:
        found.update(re.findall(r"[a-z0-9]+", page.read_text(encoding="utf-8").lower()))
    found = sorted(word for word in found if 3 < len(word) < 15)
    random.seed(1980)
    found = set(random.sample(found, min(1100, len(found))))
    beginnings = sorted({word[: random.randint(2, 6)] for word in found})
    for suffix in SUFFIXES:
        found.update(beginning + suffix for beginning in random.sample(beginnings, 32))
    found.update("sky skies dying lying tying news innings inning outings outing cannings canning howe".split())
    found.update("proceed exceed succeed dies died flies spied enjoy enjoyment geologi theologi archaeologi".split())
    found.update("yyyy yyyyy syzygy ayying eying 4mm 12th 3rds 1990s skis controll roll rolling feed agreed".split())
    return sorted(found)


def main():
    scorers = {stem: rouge_scorer.RougeScorer(KINDS, use_stemmer=stem) for stem in (False, True)}
    cases = []
    for reference, candidate in texts():
        case = {"reference": reference, "candidate": candidate}
        for stem, scorer in scorers.items():
            scores = scorer.score(reference, candidate)
            # Precision and recall as fractions would be exact too; f1 is what must not be rounded.
            case["stemmed" if stem else "plain"] = [
                [scores[kind].precision, scores[kind].recall, scores[kind].fmeasure] for kind in KINDS
            ]
        cases.append(case)
    stemmer = PorterStemmer()
    stems = {word: stemmer.stem(word) for word in words()}
    # A stem that is a beginning of its word is told by its length, behind a slash.
    packed = [
        f"{word}/{len(stem)}" if word.startswith(stem) else f"{word} {stem}" for word, stem in stems.items()
    ]
    with open(HERE / "rouge.json", "w", encoding="utf-8") as file:
        file.write('{"cases":[\n')
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write('\n],"stems":[\n')
        lines = [", ".join(json.dumps(p) for p in packed[i : i + 8]) for i in range(0, len(packed), 8)]
        file.write(",\n".join(lines))
        file.write("\n]}\n")
    print(len(cases), "cases,", len(packed), "stems")


if __name__ == "__main__":
    main()
