"""Search four levers on handwritten digits, say what was found, and write the report."""

import studies
import tuner

if __name__ == "__main__":
    found = tuner.search("quick", "digits", study="first", trials=12, epochs=3, workers=1)

    print(f"Best of {found.n_trials.counted} trials: {found.best.value:.3f} with {found.best.searched}")
    for finding in studies.diagnose("first"):
        where = "study" if finding.trial is None else f"trial {finding.trial}"
        print(f"{finding.severity.value} ({where}): {finding.sentence}")
    print("Report:", studies.report("first"))
