"""Figures of a made-up reader study by numpy, scipy 1.17.1 and krippendorff 0.9.0, for tests/study.rs.

    pip install numpy scipy krippendorff && python tests/goldens/study.py > tests/goldens/study.json

The marks follow the rule of tests/study.rs, so that nothing but figures is kept here.
"""
import json

import krippendorff
import numpy as np
from scipy import stats

REPORTS, READERS, SYSTEMS, CRITERIA = 12, 3, 2, 5


def rule(n, r, s, c):
    if n % 7 == 3 and r == 1 and c == 2:
        return np.nan
    shift = [-1, 0, 0, 1][(n * 5 + r * 3 + s * 2 + c) % 4]
    return min(max(1 + (n * 7 + n * s + s * 3 + c * 3) % 5 + shift, 1), 5)


marks = np.array([[[[rule(n, r, s, c) for c in range(CRITERIA)] for s in range(SYSTEMS)]
                   for r in range(READERS)] for n in range(REPORTS)])
measures = np.concatenate([marks, marks.mean(axis=3, keepdims=True)], axis=3)
sums = np.nansum(marks, axis=3)
chosen = np.where(sums[:, :, 1] > sums[:, :, 0], 1, 0)


def mean(values):
    values = values[~np.isnan(values)]
    return {"mean": values.mean(), "sd": values.std(ddof=1), "count": len(values)}


def difference(measure):
    gaps = measures[:, :, 0, measure] - measures[:, :, 1, measure]
    by_report = np.nansum(gaps, axis=1)
    test = stats.permutation_test((by_report,), np.sum, permutation_type="samples", n_resamples=np.inf)
    return {"difference": np.nanmean(gaps), "p": test.pvalue}


def holm(p):
    order, worst, corrected = np.argsort(p), 0.0, np.empty(len(p))
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, p[at] * (len(p) - rank)))
        corrected[at] = worst
    return corrected


def alpha(criterion, level):
    # A row a reader, a column an impression.
    data = marks[:, :, :, criterion].transpose(1, 0, 2).reshape(READERS, -1)
    return krippendorff.alpha(reliability_data=data, level_of_measurement=level)


differences = [difference(measure) for measure in range(CRITERIA + 1)]
for gain, p in zip(differences, holm([gain["p"] for gain in differences[:CRITERIA]])):
    gain["p_holm"] = p
differences[CRITERIA]["p_holm"] = differences[CRITERIA]["p"]
votes = [int((chosen == system).sum()) for system in range(SYSTEMS)]
majority = (chosen.sum(axis=1) >= 2).astype(int)  # three readers: no ties
won = [int((majority == system).sum()) for system in range(SYSTEMS)]
print(json.dumps({
    "means": [[mean(measures[:, :, s, m].ravel()) for m in range(CRITERIA + 1)] for s in range(SYSTEMS)],
    "differences": differences,
    "alpha": [{level: alpha(c, level) for level in ["ordinal", "interval"]} for c in range(CRITERIA)],
    "preference": {
        "votes": votes,
        "won": won,
        "p": stats.binomtest(won[0], REPORTS).pvalue,
        "p_judgements": stats.binomtest(votes[0], REPORTS * READERS).pvalue,
        "alpha": krippendorff.alpha(reliability_data=chosen.T.astype(float), level_of_measurement="nominal"),
    },
}, indent=1))
