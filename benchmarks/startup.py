"""Claim: `tuner --help` answers in under 0.5 s, and a study is diagnosed without waiting for torch.

Each command is started anew several times, in turns; medians of wall time. `python` is what Python itself takes,
`import torch` what every tool that loads it takes. A search of two trials of one epoch on digits is all start-up,
and with two workers should take little longer than with one: they load torch at the same time, on a core each:

    python benchmarks/startup.py --repeats 7
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from machine import described

PYTHON = [sys.executable, "-c"]
TUNER = [sys.executable, "-m", "tuner"]
SHORT = [
    *TUNER,
    "search",
    "--task",
    "digits",
    "--trials",
    "2",
    "--epochs",
    "1",
    "--quiet",
    "--study",
    "{new}",
]
COMMANDS = {
    "python": [*PYTHON, "pass"],
    "import torch": [*PYTHON, "import torch"],
    "import optuna": [*PYTHON, "import optuna"],
    "tuner --help": [*TUNER, "--help"],
    "tuner search --help": [*TUNER, "search", "--help"],
    "tuner list": [*TUNER, "list"],
    "tuner diagnose": [*TUNER, "diagnose", "s"],
    "tuner report": [*TUNER, "report", "s", "--quiet"],
    "tuner train (digits, 1 epoch)": [*TUNER, "train", "--task", "digits", "--epochs", "1", "--quiet"],
    "tuner search (2 trials, 1 worker)": [*SHORT, "--workers", "1"],
    "tuner search (2 trials, 2 workers)": [*SHORT, "--workers", "2"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TUNER_STORAGE": f"sqlite:///{folder}/tuner.db"}
        search = [
            "search",
            "--task",
            "digits",
            "--trials",
            "20",
            "--epochs",
            "3",
            "--study",
            "s",
            "--workers",
            "1",
        ]
        subprocess.run([*TUNER, *search, "--quiet"], env=environment, check=True, capture_output=True)
        seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for repeat in range(repeats):
            for name, command in COMMANDS.items():
                words = [word.replace("{new}", f"{command[-1]}-{repeat}") for word in command]
                started = time.perf_counter()
                subprocess.run(words, env=environment, check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:34} {value:.2f} s", file=sys.stderr)
    machine = described("torch", "optuna", "symptune")
    print(
        json.dumps({"claim": __doc__.splitlines()[0], "n": repeats, "medians": medians, **machine}, indent=2)
    )


if __name__ == "__main__":
    main()
