"""How long masking takes for the worst texts that are known, at 10 KB, 100 KB and 1 MB.

With `--against FOLDER`, the `src` of another checkout, the same texts are masked by that one as well, each for at most
`--limit` seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks import study
from benchmarks.system.machine import circumstances, write_result

SIZES: Final = (10_000, 100_000, 1_000_000)
TEXTS: Final = {
    "digits and dashes": '"4-" * (size // 2)',
    "short runs of digits": '"4111111111112x" * (size // 14)',
    "digits in groups, interrupted": '("4-" * 400 + "x") * (size // 801)',
    "digits alone": '"4" * size',
    "names with values": '"cvv:" * (size // 4)',
    "quoted value full of escapes": "'\"pin\":\"' + '\\\\\"' * (size // 2)",
    "sentences": '"cvv 123 " * (size // 8)',
    "social security numbers": '"078-05-1120 " * (size // 12)',
    "letters": '"QUFBQkJCQ2Nj" * (size // 12)',
    "accents": '"\\u00e94" * (size // 2)',
}
_NOW: Final = "from fraudstream.transactions.masking import DataMask; work = DataMask().record"
_BEFORE: Final = "from fraudstream.transactions.masking import CardMask; work = CardMask().document"
_TIMED: Final = """
import sys, time
{imported}
size = int(sys.argv[1])
record = {{"alert_id": "a", "transaction": {{"note": {text}}}}}
work({{"transaction": {{"note": "x"}}}})
began = time.process_time()
work(record)
print(time.process_time() - began)
"""


def seconds(source: Path, imported: str, text: str, size: int, limit: float) -> float | None:
    """CPU seconds that one record takes; None where the time was over."""
    code = _TIMED.format(imported=imported, text=text)
    environment = os.environ | {"PYTHONPATH": str(source)}
    try:
        process = subprocess.run(
            [sys.executable, "-c", code, str(size)], env=environment, capture_output=True, check=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    return round(float(process.stdout), 4)


def main() -> None:
    """Measure, and write `results/foreign_text.json`."""
    parser = study.parser(__doc__, "foreign_text")
    parser.add_argument("--against", type=Path, help="the src folder of a checkout to compare with")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one text")
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1] / "src"
    figures = {}
    for name, text in TEXTS.items():
        figures[name] = {
            str(size): {"seconds": seconds(here, _NOW, text, size, options.limit)}
            | (
                {}
                if options.against is None
                else {"before": seconds(options.against, _BEFORE, text, size, options.limit)}
            )
            for size in SIZES
        }
        print(name, figures[name], flush=True)
    result = {**circumstances(), "limit_seconds": options.limit, "cpu_seconds_by_characters": figures}
    write_result(options.output, result)


if __name__ == "__main__":
    main()
