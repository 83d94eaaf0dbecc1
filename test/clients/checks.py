"""What the scripts of the Python SDKs share. A check is a function; its name is the sentence it proves."""

import asyncio
import inspect
import json
import os
import traceback

ORIGIN = os.environ["RHONE_BASE_URL"]
KEY = os.environ["RHONE_KEY"]

PROVIDERS = ("fakechat", "fakeresp", "fakeanth", "fakegem")
SESSION = "x-rhone-session-id"
REMEMBERED = "I will remember that your name is Alice."

CHECKS = []


def check(function):
    CHECKS.append((function, ()))
    return function


def check_each(values):
    """A check that holds for each of the values."""

    def add(function):
        CHECKS.extend((function, (value,)) for value in values)
        return function

    return add


def raised(kind, call):
    """The SDK's error of a call that must fail."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("the call must fail")


def same(found, expected):
    assert found == expected, f"{found!r} != {expected!r}"


def holds(mirrored, **members):
    """Whether a request that the provider mirrored holds an object with these members, at any depth."""
    return any(members.items() <= plain(found).items() for found in objects_in(json.loads(mirrored)))


def plain(found):
    return {key: value for key, value in found.items() if not isinstance(value, (dict, list))}


def objects_in(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from objects_in(inner)


def run_all():
    failed = 0
    for function, args in CHECKS:
        name = " ".join([function.__name__.replace("_", " "), *(f"({arg})" for arg in args)])
        try:
            result = function(*args)
            if inspect.iscoroutine(result):
                asyncio.run(result)
            print(f"ok      {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0
