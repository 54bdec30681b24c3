"""What only `wardian` has, and what it promises beyond docker's command line."""

import json
import signal
import time

import pytest

from clients_shared import IMAGE


def test_plan_shows_what_run_would_do_and_makes_nothing(wardian):
    before = wardian.out("ps", "-aq")
    lines = wardian.out("plan", "--memory", "64m", "--network", "none", IMAGE, "true").splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(len(lines)))
    assert any("proc" in line for line in lines)
    assert wardian.out("ps", "-aq") == before


def test_explain_shows_what_was_carried_out(wardian):
    wardian("run", "--name", "shown", "--network", "none", IMAGE, "true")
    shown = wardian.out("explain", "shown")
    assert "µs" in shown
    assert " steps, " in shown
    answer = json.loads(wardian.out("explain", "--format", "json", "shown"))
    assert answer["Name"].strip("/") == "shown"
    assert all(step["Errno"] == 0 for step in answer["Steps"] if step["Nanoseconds"] is not None)
    assert wardian.out("explain", "-f", "{{len .Steps}}", "shown") == str(len(answer["Steps"]))
    wardian("create", "--name", "never", IMAGE, "true")
    assert b"has not been started" in wardian("explain", "never", status=1).stderr


@pytest.mark.parametrize("verb", ["commit", "volume ls", "compose up", "system df", "swarm init", "container prune"])
def test_what_is_not_built_says_so(wardian, verb):
    done = wardian(*verb.split(), status=1)
    assert done.stderr.decode() == f"wardian: '{verb}' is not built yet\n"


def test_signals_reach_the_container(wardian):
    script = "trap 'echo got-term; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    process = wardian.start("run", "--rm", IMAGE, "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert (out, process.returncode) == (b"got-term\n", 3)


def test_signals_without_proxy_end_the_command_only(wardian):
    process = wardian.start("run", "--sig-proxy=false", "--name", "stays", IMAGE, "sh", "-c", "echo up; sleep 100")
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert wardian.out("inspect", "-f", "{{.State.Running}}", "stays") == "true"


def test_cidfile(wardian, tmp_path):
    path = str(tmp_path / "cid")
    wardian("run", "--cidfile", path, "--name", "cid", IMAGE, "true")
    assert (tmp_path / "cid").read_text() == wardian.out("inspect", "-f", "{{.Id}}", "cid")
    done = wardian("run", "--cidfile", path, IMAGE, "true", status=125)
    assert b"container ID file found" in done.stderr


def test_start_attached(wardian):
    wardian("create", "-i", "--name", "att", IMAGE, "sh", "-c", "cat; exit 4")
    done = wardian("start", "-ai", "att", stdin=b"through\n", status=4)
    assert done.stdout == b"through\n"


def test_terminal_is_needed_for_tty(wardian):
    assert wardian("run", "--rm", "-it", IMAGE, "true", status=1).stderr == b"the input device is not a TTY\n"


def test_failed_start_is_removed_by_rm(wardian):
    start = time.monotonic()
    wardian("run", "--rm", "--network", "none", IMAGE, "no-such-command", status=127)
    assert time.monotonic() - start < 2
    assert wardian.out("ps", "-aq") == ""


def test_listings_pipe_well(wardian):
    wardian("run", "-d", "--name", "one", IMAGE, "sleep", "100")
    assert wardian.out("ps", "--format", "table {{.Names}}\t{{.State}}").splitlines() == [
        "NAMES     STATE",
        "one       running",
    ]
    row = json.loads(wardian.out("ps", "--format", "json"))
    assert (row["Names"], row["Command"]) == ("one", '"sleep 100"')
