"""Restart policies by docker's command line and ours: who comes back, how often, and what is said while it waits."""

import json
import time

import pytest

from clients_shared import IMAGE

SLEEP = ("sleep", "1000")


def state(docker, name):
    found = json.loads(docker.out("inspect", name))[0]
    return found["State"] | {"RestartCount": found["RestartCount"]}


def waits(docker, wait_until, name, least=3):
    """Until it waits so long that nothing happens between two commands."""
    wait_until(
        lambda: (now := state(docker, name))["RestartCount"] >= least and now["Restarting"],
        f"{name} waits to come back",
    )


def test_on_failure_gives_up(docker, wait_until):
    docker("run", "-d", "--name", "three", "--restart", "on-failure:2", IMAGE, "sh", "-c", "echo hi; exit 3")
    wait_until(lambda: state(docker, "three")["Status"] == "exited", "it is given up")
    assert (state(docker, "three")["RestartCount"], state(docker, "three")["ExitCode"]) == (2, 3)
    assert docker.out("logs", "three").split() == ["hi"] * 3
    shown = docker.out(
        "inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "three"
    )
    assert shown == "on-failure 2"
    docker("start", "three")
    wait_until(lambda: docker.out("logs", "three").split() == ["hi"] * 6, "a start by hand counts anew")


def test_on_failure_leaves_success_alone(docker):
    docker("run", "--name", "well", "--restart", "on-failure", IMAGE, "true")
    time.sleep(0.4)
    assert (state(docker, "well")["Status"], state(docker, "well")["RestartCount"]) == ("exited", 0)


def test_in_the_foreground_the_first_exit_counts(docker):
    docker("run", "--restart", "on-failure:1", IMAGE, "sh", "-c", "exit 3", status=3)


def test_what_is_done_while_it_waits(docker, wait_until):
    docker("run", "-d", "--name", "back", "--restart", "always", IMAGE, "sh", "-c", "exit 3")
    waits(docker, wait_until, "back", 6)
    now = state(docker, "back")
    assert (now["Status"], now["Running"], now["Pid"], now["ExitCode"]) == ("restarting", True, 0, 3)
    assert docker.out("ps", "--format", "{{.Status}}").startswith("Restarting (3) ")
    assert docker.out("ps", "-q", "--filter", "status=restarting")
    for command in (("pause", "back"), ("exec", "back", "true"), ("top", "back")):
        assert b"is restarting, wait until the container is running" in docker(*command, status=1).stderr
    assert b"container is restarting: stop the container before removing" in docker("rm", "back", status=1).stderr
    assert docker.out("start", "back") == "back"  # it counts as started
    docker("rename", "back", "forth")
    docker("stop", "forth")
    now = state(docker, "forth")
    assert (now["Status"], now["ExitCode"], now["Restarting"]) == ("exited", 3, False)
    time.sleep(0.5)
    docker("restart", "-t", "0", "forth")
    wait_until(lambda: state(docker, "forth")["RestartCount"] >= 1, "it comes back again, counted anew")
    docker("rm", "-f", "forth")


def test_kill_and_stop_leave_it_down(docker, wait_until):
    docker("run", "-d", "--name", "down", "--restart", "always", IMAGE, *SLEEP)
    docker("kill", "down")
    time.sleep(0.4)
    assert (state(docker, "down")["Status"], state(docker, "down")["ExitCode"]) == ("exited", 137)
    docker("start", "down")
    docker("stop", "-t", "0", "down")
    time.sleep(0.4)
    assert state(docker, "down")["Status"] == "exited"
    docker("start", "down")
    before = state(docker, "down")["Pid"]
    docker("exec", "down", "kill", "-9", "-1", status=None)
    docker("exec", "down", "true", status=None)
    assert state(docker, "down")["Pid"] == before  # the first process is safe from its own namespace


def test_what_the_host_kills_comes_back(docker, wait_until):
    import os
    import signal

    docker("run", "-d", "--name", "up", "--restart", "unless-stopped", IMAGE, *SLEEP)
    pid = state(docker, "up")["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state(docker, "up")["Pid"] not in (0, pid), "it runs again")
    assert state(docker, "up")["RestartCount"] == 1
    docker("exec", "up", "true")


def test_update_of_the_policy(docker, wait_until):
    docker("run", "-d", "--name", "loop", "--restart", "always", IMAGE, "sh", "-c", "exit 1")
    waits(docker, wait_until, "loop")
    docker("update", "--restart", "no", "loop")
    wait_until(lambda: state(docker, "loop")["Status"] == "exited", "it comes once more, then it is over")
    refused = docker("update", "--restart", "always:3", "loop", status=1).stderr
    assert b"invalid restart policy: maximum retry count can only be used with 'on-failure'" in refused
    docker("run", "-d", "--rm", "--name", "goes", IMAGE, *SLEEP)
    refused = docker("update", "--restart", "always", "goes", status=1).stderr
    assert b"Restart policy cannot be updated because AutoRemove is enabled for the container" in refused


def test_what_is_refused(docker):
    refused = docker("create", "--restart", "sometimes", IMAGE, status=1).stderr
    assert b"invalid restart policy: unknown policy 'sometimes'; use one of" in refused
    assert (
        b"cannot specify both --restart and --rm" in docker("run", "--rm", "--restart=always", IMAGE, status=125).stderr
    )


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_with_removal_by_the_api(engine_with_image, policy):
    body = {"Image": IMAGE, "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": policy}}}
    answer = engine_with_image.client.request("POST", "/containers/create", body)
    assert (answer.status, answer.json()) == (
        400,
        {"message": "can't create 'AutoRemove' container with restart policy"},
    )
