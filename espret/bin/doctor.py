"""List what is installed, what is missing, and the command that mends it; status 1 if a need is missing."""

from __future__ import annotations

from espret.bin import parser
from espret.doctor import examine


def main(argv: list[str]) -> int:
    """Print one line a finding; returns 1 if something that the recipes need is missing."""
    options = parser("doctor", __doc__)
    options.parse_args(argv)
    findings = examine()
    marks = {"ok": "ok      ", "missing": "MISSING ", "optional": "optional"}
    for finding in findings:
        print(f"{marks[finding.kind]}  {finding.what}: {finding.found}")
        if finding.mend:
            print(f"          mend: {finding.mend}")
    missing = sum(finding.kind == "missing" for finding in findings)
    print(f"{missing} missing" if missing else "all that the recipes need is here")
    return 1 if missing else 0
