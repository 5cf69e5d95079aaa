"""llama.cpp beside the browsers: one JSON line a command read from stdin.

    python llama_cpp_bench.py --model M.gguf --threads 1

In: {"ids": [...], "tokens": N}. Out: {"ids", "prefillSecs", "decodeSecs"}.
One long-lived process, so that its runs can alternate with the browser's.
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "goldens"))
from llama_oracle import LlamaCpp  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    llama = LlamaCpp(args.model, threads=args.threads)
    for line in sys.stdin:
        command = json.loads(line)
        llama.reset()
        begun = time.perf_counter()
        ids = [int(llama.logits(command["ids"]).argmax())]
        first = time.perf_counter()
        while len(ids) < command["tokens"]:
            ids.append(int(llama.logits(ids[-1:]).argmax()))
        last = time.perf_counter()
        print(json.dumps({"ids": ids, "prefillSecs": first - begun, "decodeSecs": last - first}),
              flush=True)


if __name__ == "__main__":
    main()
