#!/usr/bin/env python3
"""Each row of programs.py once more, between a host and a guest that are Hyper-V's to the letter."""

import support
from program_row import RowTest
from programs import ROWS

setUpModule = support.require_shim


class Programs(RowTest):
    profile = "strict"
    # libnbd says goodbye, shuts its writing side and reads to the end. Where the server is done
    # before the shutdown, that is ENOTCONN: a race that a real guest may lose too.
    quirks = ("recv-after-end=zero",)


Programs.add(ROWS)

if __name__ == "__main__":
    support.main()
