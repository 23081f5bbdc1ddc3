"""Make what METEOR keeps on this machine, so that the first scoring does not have to: `tools/install.sh` runs this."""

from __future__ import annotations

import sys

from espret.errors import EspretError
from espret.scoring.meteor.metric import Meteor
from espret.scoring.metric import Captions


def main() -> int:
    """Score one caption; what that needs is kept afterwards."""
    try:
        Meteor().score(Captions(["clip"], ["a dog barks"], [["the dog barks"]], ["a dog barks"], [["the dog barks"]]))
    except EspretError as error:
        print(f"meteor: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
