"""Whether a process still lives: never wrong about a live one, whatever the clock does."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from studies.machine import Process


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_live_process_is_not_dead_and_an_ended_one_is(child: "subprocess.Popen[bytes]") -> None:
    """Also while it is a zombie that its parent has not yet collected."""
    me, other = Process.current(), Process.of(child.pid)
    assert not me.sees_dead(me)
    assert not me.sees_dead(other)
    child.kill()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert me.sees_dead(other)
    child.wait()
    assert me.sees_dead(other)


def test_a_process_id_that_was_given_out_again_is_another_process(child: "subprocess.Popen[bytes]") -> None:
    """Its start differs."""
    other = Process.of(child.pid)
    assert Process.current().sees_dead(
        dataclasses.replace(other, process_started=other.process_started + 300)
    )


def test_nobody_can_tell_from_another_machine(child: "subprocess.Popen[bytes]") -> None:
    """There the same id means nothing."""
    other = dataclasses.replace(Process.of(child.pid), machine="elsewhere")
    child.kill()
    child.wait()
    assert not Process.current().sees_dead(other)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start is a time of day, as psutil has it")
def test_a_step_of_the_clock_kills_nobody(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """NTP sets the clock an hour forward; psutil's start times all move with it, ours do not."""
    me, other = Process.current(), Process.of(child.pid)
    before = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: before(self) + 3600.0)
    assert not me.sees_dead(other)
    assert Process.current() == me


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_start_is_found_behind_any_name_of_a_command() -> None:
    """A command may be named ``a) R 1 (b``; psutil, which asks the kernel's boot time too, is the oracle."""
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R 1 (b'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        theirs = psutil.Process(process.pid)
        assert theirs.name() == "a) R 1 (b"
        ticks_a_second = os.sysconf("SC_CLK_TCK")
        assert theirs.create_time() == pytest.approx(
            psutil.boot_time() + Process.of(process.pid).process_started / ticks_a_second, abs=0.02
        )
        process.communicate(b"\n")
