"""Runs the off-line tool's tests, each in a folder of its own, which stays when it fails."""
import random
import shutil
import time
import traceback

from tests.machine.emulator import Failure
from tests.machine.lab import BUILD
from tests.tool import test_nvpool


def run_tool(tally, seed):
    for function in test_nvpool.TESTS:
        name = function.__name__.removeprefix("test_")
        folder = BUILD / "tool-tests" / name
        tally.progress.note(f"tool: {name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        began = time.monotonic()
        error = None
        try:
            function(folder, random.Random(f"{seed} {name}"))
            shutil.rmtree(folder)
        except Failure as failure:
            error = str(failure)
        except Exception:  # a broken test is a failed one
            error = traceback.format_exc()
        tally.add(f"tool {name}", error, time.monotonic() - began)
